//! Whether every record is what was written: position and hash, stream by stream.

use std::collections::{BTreeMap, HashMap};

use protocol::{
    entity::EntityId,
    record::{ChainHash, Record},
};

/// How far each stream was followed.
#[derive(Debug, Default)]
pub(super) struct Chains {
    heads: HashMap<EntityId, (u64, ChainHash)>,
    /// The first fault of each stream; what follows it says nothing new.
    faults: BTreeMap<EntityId, String>,
    records: u64,
}

impl Chains {
    /// Looks at the next record of its stream.
    pub(super) fn check(&mut self, record: &Record) {
        self.records += 1;
        let (head, hash) = self.heads.get(&record.stream).copied().unwrap_or_default();
        let stream = record.stream;
        if record.seq != head + 1 {
            self.fault(stream, format!("{} follows {head}", record.seq));
        } else if record.chain(hash) != record.hash {
            self.fault(stream, format!("the hash at {} does not match", record.seq));
        }
        self.heads.insert(stream, (record.head(), record.hash));
    }

    fn fault(&mut self, stream: EntityId, what: String) {
        self.faults.entry(stream).or_insert(what);
    }

    pub(super) fn streams(&self) -> usize {
        self.heads.len()
    }

    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Whether both followed the same streams to the same last records.
    pub(super) fn ends_like(&self, other: &Self) -> bool {
        self.records == other.records && self.heads == other.heads
    }

    /// Each stream that is not whole, and why.
    pub(super) fn into_faults(self) -> Vec<String> {
        self.faults
            .into_iter()
            .map(|(stream, what)| format!("{stream}: {what}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        entity::EntityId,
        epoch::Epoch,
        id::{CommandId, NodeId, TaskId},
        time::Timestamp,
    };

    use super::*;

    fn records(stream: u128) -> Vec<Record> {
        // A v5 id needs no clock and no chance.
        let uuid = |n: u128| format!("task_{n:032x}").parse::<TaskId>().unwrap().uuid();
        let mut hash = ChainHash::default();
        [(1, 2), (3, 1), (4, 1)]
            .into_iter()
            .map(|(seq, count)| {
                let mut record = Record {
                    stream: EntityId::from(TaskId::from_uuid(uuid(stream))),
                    seq,
                    count,
                    epoch: Epoch::default(),
                    owner: NodeId::from_uuid(uuid(1)),
                    cmd_id: CommandId::from_uuid(uuid(2)),
                    tenant: "default".into(),
                    actor: "ann".into(),
                    at: Timestamp::default(),
                    version: 1,
                    data: "[]".into(),
                    hash: ChainHash::default(),
                };
                record.hash = record.chain(hash);
                hash = record.hash;
                record
            })
            .collect()
    }

    fn faults(records: &[Record]) -> Vec<String> {
        let mut chains = Chains::default();
        records.iter().for_each(|record| chains.check(record));
        chains.into_faults()
    }

    #[test]
    fn whole_streams_have_no_faults_however_they_are_mixed() {
        let (a, b) = (records(7), records(8));
        let mixed: Vec<Record> = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
        assert_eq!(faults(&mixed), Vec::<String>::new());
    }

    #[test]
    fn a_changed_a_missing_and_a_forged_record_are_found() {
        let mut changed = records(7);
        changed[1].data = "[1]".into();
        assert_eq!(faults(&changed).len(), 1);

        let mut missing = records(7);
        missing.remove(1);
        assert!(
            faults(&missing)[0].ends_with("4 follows 2"),
            "{:?}",
            faults(&missing)
        );

        let mut forged = records(7);
        forged[1].data = "[1]".into();
        forged[1].hash = forged[1].chain(forged[0].hash);
        assert!(
            faults(&forged)[0].contains("the hash at 4"),
            "{:?}",
            faults(&forged)
        );
    }
}
