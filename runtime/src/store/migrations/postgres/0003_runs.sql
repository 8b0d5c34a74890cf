-- Runs of a workflow are found by it. Whether one waits that was written before is known with its next
-- event, or when the index is rebuilt.
ALTER TABLE stream ADD COLUMN workflow bytea;
ALTER TABLE stream ADD COLUMN waits boolean NOT NULL DEFAULT false;
UPDATE stream SET workflow = decode('04' ||
    substring(body FROM '"workflow":\{"id":"[a-z]+_([0-9a-f]{32})"'), 'hex')
WHERE kind = 2 AND body ~ '"workflow":\{"id":"[a-z]+_[0-9a-f]{32}"';
CREATE INDEX stream_workflow ON stream (tenant, workflow, stream) WHERE workflow IS NOT NULL;
CREATE INDEX stream_run ON stream (tenant, stream) WHERE workflow IS NOT NULL;
