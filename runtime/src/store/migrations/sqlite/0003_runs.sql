-- Runs of a workflow are found by it. Whether one waits that was written before is known with its next
-- event, or when the index is rebuilt.
ALTER TABLE stream ADD COLUMN workflow BLOB;
ALTER TABLE stream ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
UPDATE stream
SET workflow = unhex('04' || substr(body ->> '$.workflow.id', instr(body ->> '$.workflow.id', '_') + 1))
WHERE kind = 2 AND body ->> '$.workflow.id' IS NOT NULL;
CREATE INDEX stream_workflow ON stream (tenant, workflow, stream) WHERE workflow IS NOT NULL;
CREATE INDEX stream_run ON stream (tenant, stream) WHERE workflow IS NOT NULL;
