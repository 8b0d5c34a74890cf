//! Members and the shards they own.

use std::time::Duration;

use protocol::{
    epoch::Epoch,
    id::NodeId,
    member::{Member, MemberState},
    shard::Shard,
    time::Timestamp,
};
use sqlx::SqliteConnection;

use super::{
    Sqlite, gateway,
    tables::next_epoch,
    values::{Row, Values},
};
use crate::store::{
    Answer, EntryRefusal, Error, Founding, Members, Renewal, Survey,
    members::RECENT,
    rows::{self, Cells},
};

/// Members that neither left nor were removed.
macro_rules! sits {
    () => {
        "state IN ('up', 'draining')"
    };
}

static RENEW: Values = Values::new(
    "UPDATE member SET lease_until = column2, health = column3 FROM",
    3,
    concat!(
        "WHERE node = column1 AND lost = 0 AND ",
        sits!(),
        " RETURNING node"
    ),
);

static FREE: Values = Values::new(
    "SELECT shard.shard, shard.owner FROM shard LEFT JOIN member ON member.node = shard.owner JOIN",
    2,
    concat!(
        "ON shard.shard = column1 WHERE shard.owner IS NULL
             OR NOT coalesce(lease_until > column2 AND ",
        sits!(),
        ", false)"
    ),
);

static TAKE: Values = Values::new(
    "UPDATE shard SET owner = column2, epoch = column3 FROM",
    3,
    "WHERE shard = column1",
);

static LOSE: Values = Values::new("UPDATE member SET lost = 1 FROM", 1, "WHERE node = column1");

static GIVE_BACK: Values = Values::new(
    "UPDATE shard SET owner = NULL FROM",
    3,
    "WHERE shard = column1 AND owner = column2 AND epoch = column3",
);

fn bytes(node: NodeId) -> Vec<u8> {
    node.uuid().as_bytes().to_vec()
}

impl Members for Sqlite {
    fn found(&self, wanted: Founding) -> Answer<'_, Founding> {
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                wanted.agree(wanted)?;
                sqlx::query("INSERT INTO cluster VALUES (1, ?, ?) ON CONFLICT DO NOTHING")
                    .bind(wanted.cluster.as_bytes().to_vec())
                    .bind(wanted.shards)
                    .execute(&mut *connection)
                    .await?;
                let row = sqlx::query("SELECT * FROM cluster")
                    .fetch_one(&mut *connection)
                    .await?;
                let founding = rows::founding(&row)?.agree(wanted)?;
                sqlx::query(
                    "WITH RECURSIVE number (n) AS
                         (VALUES (0) UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?)
                     INSERT INTO shard (shard) SELECT n FROM number WHERE true
                     ON CONFLICT DO NOTHING",
                )
                .bind(founding.shards)
                .execute(connection)
                .await?;
                Ok(founding)
            })
        }))
    }

    fn enter<'a>(
        &'a self,
        member: &'a Member,
        ttl: Duration,
        former: Option<NodeId>,
    ) -> Answer<'a, Result<(), EntryRefusal>> {
        let (member, clock) = (member.clone(), self.clock.clone());
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move { enter(connection, member, ttl, former, clock.now()).await })
        }))
    }

    fn renew<'a>(&'a self, renewals: &'a [Renewal], ttl: Duration) -> Answer<'a, Vec<NodeId>> {
        let (renewals, clock) = (renewals.to_vec(), self.clock.clone());
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let until = clock.now().plus(ttl).as_micros();
                let renew = RENEW.over(renewals, |row, renewal| {
                    row.add(bytes(renewal.node))?
                        .add(until)?
                        .add(renewal.health)?;
                    Ok(())
                })?;
                let renewed = renew.run(connection).await?;
                let nodes = renewed.iter().map(|row| row.uuid("node"));
                nodes.map(|node| Ok(NodeId::from_uuid(node?))).collect()
            })
        }))
    }

    fn set_state(&self, node: NodeId, state: MemberState) -> Answer<'_, ()> {
        let clock = self.clock.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                // Nobody comes back by changing a word.
                let from = match state {
                    MemberState::Up | MemberState::Draining => {
                        sqlx::query(concat!(
                            "UPDATE member SET state = ? WHERE node = ? AND ",
                            sits!()
                        ))
                        .bind(state.as_str())
                        .bind(bytes(node))
                        .execute(connection)
                        .await?;
                        return Ok(());
                    }
                    MemberState::Left => {
                        "UPDATE member SET state = ?, lease_until = min(lease_until, ?)
                         WHERE node = ? AND state <> 'removed'"
                    }
                    MemberState::Removed => {
                        "UPDATE member SET state = ?, lease_until = min(lease_until, ?)
                         WHERE node = ?"
                    }
                };
                sqlx::query(from)
                    .bind(state.as_str())
                    .bind(clock.now().as_micros())
                    .bind(bytes(node))
                    .execute(&mut *connection)
                    .await?;
                free_shards(connection).await
            })
        }))
    }

    fn survey(&self) -> Answer<'_, Survey> {
        let clock = self.clock.clone();
        // On the writing connection, which sees one moment.
        Box::pin(
            self.writer
                .write(move |connection| Box::pin(survey(connection, clock.now()))),
        )
    }

    fn take<'a>(
        &'a self,
        taker: NodeId,
        shards: &'a [Shard],
    ) -> Answer<'a, Option<(Epoch, Vec<Shard>)>> {
        let (shards, clock) = (shards.to_vec(), self.clock.clone());
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move { take(connection, taker, &shards, clock.now()).await })
        }))
    }

    fn give_back<'a>(&'a self, owner: NodeId, shards: &'a [(Shard, Epoch)]) -> Answer<'a, ()> {
        let shards = shards.to_vec();
        Box::pin(
            self.writer
                .write(move |connection| -> gateway::Work<'_, ()> {
                    Box::pin(async move {
                        let give = GIVE_BACK.over(shards, |row, (shard, epoch)| {
                            row.add(shard.0)?.add(bytes(owner))?.add(epoch.to_i64())?;
                            Ok(())
                        })?;
                        give.run(connection).await?;
                        Ok(())
                    })
                }),
        )
    }

    fn prune(&self, older: Duration) -> Answer<'_, u64> {
        let clock = self.clock.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let before = clock.now().as_micros()
                    - i64::try_from(older.as_micros()).unwrap_or(i64::MAX / 4);
                let members = sqlx::query(
                    "DELETE FROM member WHERE lease_until < ?
                         AND node NOT IN (SELECT owner FROM shard WHERE owner IS NOT NULL)",
                )
                .bind(before)
                .execute(&mut *connection)
                .await?;
                let tokens =
                    sqlx::query("DELETE FROM token WHERE coalesce(used_at, expires_at) < ?")
                        .bind(before)
                        .execute(connection)
                        .await?;
                Ok(members.rows_affected() + tokens.rows_affected())
            })
        }))
    }
}

async fn enter(
    connection: &mut SqliteConnection,
    member: Member,
    ttl: Duration,
    former: Option<NodeId>,
    now: Timestamp,
) -> Result<Result<(), EntryRefusal>, Error> {
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM member WHERE node = ?")
        .bind(bytes(member.node))
        .fetch_optional(&mut *connection)
        .await?;
    let state = match state.as_deref() {
        Some("removed") => return Ok(Err(EntryRefusal::Removed)),
        // A lease that was lost is no reason to forget what an operator said.
        Some("draining") => MemberState::Draining,
        Some(_) | None => MemberState::Up,
    };
    let held = sqlx::query(concat!(
        "SELECT announced, lease_until FROM member
         WHERE name = ? AND node <> ? AND node IS NOT ? AND lease_until > ? AND ",
        sits!()
    ))
    .bind(member.name.clone())
    .bind(bytes(member.node))
    .bind(former.map(bytes))
    .bind(now.as_micros())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = held {
        let (by, until) = (row.json("announced")?, row.moment("lease_until")?);
        return Ok(Err(EntryRefusal::name_held(by, until)));
    }
    sqlx::query(concat!(
        "UPDATE member SET state = 'left', lease_until = min(lease_until, ?)
         WHERE (node IS ? OR name = ? AND node <> ?) AND ",
        sits!()
    ))
    .bind(now.as_micros())
    .bind(former.map(bytes))
    .bind(member.name.clone())
    .bind(bytes(member.node))
    .execute(&mut *connection)
    .await?;
    free_shards(connection).await?;
    let announced = rows::to_json(&member)?;
    sqlx::query(
        "INSERT INTO member (node, name, state, lease_until, announced) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET name = excluded.name, state = excluded.state, lost = 0,
             lease_until = excluded.lease_until, announced = excluded.announced",
    )
    .bind(bytes(member.node))
    .bind(member.name)
    .bind(state.as_str())
    .bind(now.plus(ttl).as_micros())
    .bind(announced)
    .execute(connection)
    .await?;
    Ok(Ok(()))
}

/// Frees the shards of those that left or were removed.
async fn free_shards(connection: &mut SqliteConnection) -> Result<(), Error> {
    sqlx::query(concat!(
        "UPDATE shard SET owner = NULL
         WHERE owner IN (SELECT node FROM member WHERE NOT ",
        sits!(),
        ")"
    ))
    .execute(connection)
    .await?;
    Ok(())
}

async fn take(
    connection: &mut SqliteConnection,
    taker: NodeId,
    shards: &[Shard],
    now: Timestamp,
) -> Result<Option<(Epoch, Vec<Shard>)>, Error> {
    let lives =
        sqlx::query("SELECT node FROM member WHERE node = ? AND state = 'up' AND lease_until > ?")
            .bind(bytes(taker))
            .bind(now.as_micros())
            .fetch_optional(&mut *connection)
            .await?;
    if lives.is_none() {
        return Ok(None);
    }
    let free = FREE.over(shards, |row, shard| {
        row.add(shard.0)?.add(now.as_micros())?;
        Ok(())
    })?;
    let (mut taken, mut losers) = (Vec::new(), Vec::new());
    for row in free.run(&mut *connection).await? {
        taken.push(Shard(row.small("shard")?));
        losers.extend(row.maybe_bytes("owner")?.map(<[u8]>::to_vec));
    }
    if taken.is_empty() {
        return Ok(None);
    }
    taken.sort_unstable();
    taken.dedup();
    losers.sort_unstable();
    losers.dedup();
    let epoch = next_epoch(connection).await?;
    let take = TAKE.over(&taken, |row, shard| {
        row.add(shard.0)?.add(bytes(taker))?.add(epoch.to_i64())?;
        Ok(())
    })?;
    take.run(&mut *connection).await?;
    let lose = LOSE.over(losers, |row: &mut Row, loser| {
        row.add(loser)?;
        Ok(())
    })?;
    lose.run(connection).await?;
    Ok(Some((epoch, taken)))
}

async fn survey(connection: &mut SqliteConnection, now: Timestamp) -> Result<Survey, Error> {
    let incarnation = sqlx::query("SELECT value FROM meta WHERE key = 'db_incarnation'")
        .fetch_one(&mut *connection)
        .await?;
    let members = sqlx::query(
        "SELECT * FROM member
         WHERE lease_until > ? OR node IN (SELECT owner FROM shard) ORDER BY node",
    )
    .bind(now.as_micros() - RECENT.as_micros() as i64)
    .fetch_all(&mut *connection)
    .await?;
    let shards = sqlx::query("SELECT * FROM shard ORDER BY shard")
        .fetch_all(connection)
        .await?;
    Ok(Survey {
        at: now,
        incarnation: incarnation.small("value")?,
        members: members
            .iter()
            .map(|row| rows::member(row, now))
            .collect::<Result<_, _>>()?,
        shards: shards.iter().map(rows::shard).collect::<Result<_, _>>()?,
    })
}
