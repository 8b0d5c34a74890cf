//! Members and the shards they own. The server's clock decides, read when all locks are held.

use std::time::Duration;

use protocol::{
    epoch::Epoch,
    id::NodeId,
    member::{Member, MemberState},
    shard::Shard,
    time::Timestamp,
};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::{
    Postgres,
    gateway::{Cut, Setback},
    tables::next_epoch,
};
use crate::store::{
    Answer, EntryRefusal, Founding, Members, Renewal, Survey,
    members::RECENT,
    rows::{self, Cells},
};

/// Members that neither left nor were removed.
macro_rules! sits {
    () => {
        "state IN ('up', 'draining')"
    };
}

/// The server's clock at this very moment; `now()` would be that of the transaction's beginning.
macro_rules! clock {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

fn bytes(node: NodeId) -> Vec<u8> {
    node.uuid().as_bytes().to_vec()
}

fn numbers(shards: &[Shard]) -> Vec<i64> {
    shards.iter().map(|shard| i64::from(shard.0)).collect()
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

/// How long one try at a renewal may take: about the time between two, so that several fit in before
/// the node has to stop acting, however the first ends. No shorter than a slow server needs.
fn one_try(ttl: Duration) -> Duration {
    (ttl / 4).max(Duration::from_secs(1))
}

pub(super) async fn now(connection: &mut PgConnection) -> Result<Timestamp, Setback> {
    let now: i64 = sqlx::query_scalar(concat!("SELECT ", clock!()))
        .fetch_one(connection)
        .await?;
    Ok(Timestamp::from_micros(now))
}

impl Members for Postgres {
    fn found(&self, wanted: Founding) -> Answer<'_, Founding> {
        Box::pin(self.leases.transact(Cut::Repeat, move |connection| {
            Box::pin(async move {
                wanted.agree(wanted)?;
                sqlx::query("INSERT INTO cluster VALUES (1, $1, $2) ON CONFLICT DO NOTHING")
                    .bind(wanted.cluster.as_bytes().to_vec())
                    .bind(i64::from(wanted.shards))
                    .execute(&mut *connection)
                    .await?;
                let row = sqlx::query("SELECT * FROM cluster")
                    .fetch_one(&mut *connection)
                    .await?;
                let founding = rows::founding(&row)?.agree(wanted)?;
                sqlx::query(
                    "INSERT INTO shard (shard) SELECT generate_series(0, $1 - 1)
                     ON CONFLICT DO NOTHING",
                )
                .bind(i64::from(founding.shards))
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
        let member = member.clone();
        Box::pin(self.leases.transact(Cut::Repeat, move |connection| {
            let member = member.clone();
            Box::pin(enter(connection, member, ttl, former))
        }))
    }

    fn renew<'a>(&'a self, renewals: &'a [Renewal], ttl: Duration) -> Answer<'a, Vec<NodeId>> {
        let (nodes, health): (Vec<_>, Vec<_>) = renewals
            .iter()
            .map(|renewal| (bytes(renewal.node), renewal.health.clone()))
            .unzip();
        let end = Instant::now() + one_try(ttl);
        Box::pin(
            self.leases
                .write_by(Some(end), Cut::Repeat, move |connection| {
                    let (nodes, health) = (nodes.clone(), health.clone());
                    Box::pin(async move {
                        // Whoever takes a shard says `lost` in this row, and waits for it or is waited for.
                        let renewed = sqlx::query(concat!(
                            "UPDATE member SET lease_until = $3 + ",
                            clock!(),
                            ", health = new.health
                     FROM unnest($1::bytea[], $2::text[]) AS new (node, health)
                     WHERE member.node = new.node AND NOT lost AND ",
                            sits!(),
                            " RETURNING member.node"
                        ))
                        .bind(nodes)
                        .bind(health)
                        .bind(micros(ttl))
                        .fetch_all(connection)
                        .await?;
                        let nodes = renewed.iter().map(|row| row.uuid("node"));
                        nodes.map(|node| Ok(NodeId::from_uuid(node?))).collect()
                    })
                }),
        )
    }

    fn set_state(&self, node: NodeId, state: MemberState) -> Answer<'_, ()> {
        Box::pin(self.leases.transact(Cut::Repeat, move |connection| {
            Box::pin(async move {
                one_at_a_time(connection).await?;
                // Nobody comes back by changing a word.
                let change = match state {
                    MemberState::Up | MemberState::Draining => {
                        concat!("UPDATE member SET state = $1 WHERE node = $2 AND ", sits!())
                    }
                    MemberState::Left => concat!(
                        "UPDATE member SET state = $1, lease_until = least(lease_until, ",
                        clock!(),
                        ") WHERE node = $2 AND state <> 'removed'"
                    ),
                    MemberState::Removed => concat!(
                        "UPDATE member SET state = $1, lease_until = least(lease_until, ",
                        clock!(),
                        ") WHERE node = $2"
                    ),
                };
                sqlx::query(change)
                    .bind(state.as_str())
                    .bind(bytes(node))
                    .execute(&mut *connection)
                    .await?;
                free_shards(connection).await
            })
        }))
    }

    fn survey(&self) -> Answer<'_, Survey> {
        Box::pin(
            self.leases
                .transact(Cut::Repeat, |connection| Box::pin(survey(connection))),
        )
    }

    fn take<'a>(
        &'a self,
        taker: NodeId,
        shards: &'a [Shard],
    ) -> Answer<'a, Option<(Epoch, Vec<Shard>)>> {
        let shards = numbers(shards);
        Box::pin(self.leases.transact(Cut::Tell, move |connection| {
            let shards = shards.clone();
            Box::pin(take(connection, taker, shards))
        }))
    }

    fn give_back<'a>(&'a self, owner: NodeId, shards: &'a [(Shard, Epoch)]) -> Answer<'a, ()> {
        let (shards, epochs): (Vec<Shard>, Vec<i64>) = shards
            .iter()
            .map(|(shard, epoch)| (*shard, epoch.to_i64()))
            .unzip();
        let shards = numbers(&shards);
        Box::pin(self.leases.write(Cut::Repeat, move |connection| {
            let (shards, epochs) = (shards.clone(), epochs.clone());
            Box::pin(async move {
                let give = "UPDATE shard SET owner = NULL
                     FROM unnest($1, $2::bigint[]) AS given (shard, epoch)
                     WHERE shard.shard = given.shard AND shard.epoch = given.epoch
                         AND shard.owner = $3";
                sqlx::query(give)
                    .bind(shards)
                    .bind(epochs)
                    .bind(bytes(owner))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        }))
    }

    fn prune(&self, older: Duration) -> Answer<'_, u64> {
        Box::pin(self.leases.transact(Cut::Repeat, move |connection| {
            Box::pin(prune(connection, older))
        }))
    }
}

/// Forgets what ended before a moment of the server's clock.
async fn prune(connection: &mut PgConnection, older: Duration) -> Result<u64, Setback> {
    one_at_a_time(connection).await?;
    let members = sqlx::query(concat!(
        "DELETE FROM member WHERE lease_until < ",
        clock!(),
        " - $1 AND NOT EXISTS (SELECT FROM shard WHERE owner = member.node)"
    ))
    .bind(micros(older))
    .execute(&mut *connection)
    .await?;
    let tokens = sqlx::query(concat!(
        "DELETE FROM token WHERE coalesce(used_at, expires_at) < ",
        clock!(),
        " - $1"
    ))
    .bind(micros(older))
    .execute(connection)
    .await?;
    Ok(members.rows_affected() + tokens.rows_affected())
}

/// Lets one transaction at a time change who is in the cluster and who owns what.
pub(super) async fn one_at_a_time(connection: &mut PgConnection) -> Result<(), Setback> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 1))")
        .execute(connection)
        .await?;
    Ok(())
}

async fn enter(
    connection: &mut PgConnection,
    member: Member,
    ttl: Duration,
    former: Option<NodeId>,
) -> Result<Result<(), EntryRefusal>, Setback> {
    one_at_a_time(connection).await?;
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM member WHERE node = $1")
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
         WHERE name = $1 AND node <> $2 AND node IS DISTINCT FROM $3 AND lease_until > ",
        clock!(),
        " AND ",
        sits!()
    ))
    .bind(member.name.as_str())
    .bind(bytes(member.node))
    .bind(former.map(bytes))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = held {
        let (by, until) = (row.json("announced")?, row.moment("lease_until")?);
        return Ok(Err(EntryRefusal::name_held(by, until)));
    }
    sqlx::query(concat!(
        "UPDATE member SET state = 'left', lease_until = least(lease_until, ",
        clock!(),
        ") WHERE (node = $3 OR name = $1 AND node <> $2) AND ",
        sits!()
    ))
    .bind(member.name.as_str())
    .bind(bytes(member.node))
    .bind(former.map(bytes))
    .execute(&mut *connection)
    .await?;
    free_shards(connection).await?;
    sqlx::query(concat!(
        "INSERT INTO member (node, name, state, announced, lease_until) VALUES ($1, $2, $5, $3,
             $4 + ",
        clock!(),
        ") ON CONFLICT (node) DO UPDATE SET name = excluded.name, state = $5, lost = false,
             lease_until = excluded.lease_until, announced = excluded.announced"
    ))
    .bind(bytes(member.node))
    .bind(member.name.as_str())
    .bind(rows::to_json(&member)?)
    .bind(micros(ttl))
    .bind(state.as_str())
    .execute(connection)
    .await?;
    Ok(Ok(()))
}

/// Frees the shards of those that left or were removed.
async fn free_shards(connection: &mut PgConnection) -> Result<(), Setback> {
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
    connection: &mut PgConnection,
    taker: NodeId,
    shards: Vec<i64>,
) -> Result<Option<(Epoch, Vec<Shard>)>, Setback> {
    one_at_a_time(connection).await?;
    // No lease of these is renewed or ended until the commit, so what is read of them holds.
    sqlx::query(
        "SELECT FROM member WHERE node = $1
             OR node IN (SELECT owner FROM shard WHERE shard = ANY($2)) ORDER BY node FOR UPDATE",
    )
    .bind(bytes(taker))
    .bind(shards.as_slice())
    .execute(&mut *connection)
    .await?;
    let free = sqlx::query(concat!(
        "SELECT shard.shard, shard.owner FROM shard
         LEFT JOIN member AS held ON held.node = shard.owner AND held.lease_until > ",
        clock!(),
        " AND held.",
        sits!(),
        " WHERE shard.shard = ANY($2) AND held.node IS NULL AND EXISTS (
             SELECT FROM member WHERE node = $1 AND state = 'up' AND lease_until > ",
        clock!(),
        ") ORDER BY shard.shard"
    ))
    .bind(bytes(taker))
    .bind(shards)
    .fetch_all(&mut *connection)
    .await?;
    if free.is_empty() {
        return Ok(None);
    }
    let mut taken = Vec::with_capacity(free.len());
    let mut losers = Vec::new();
    for row in &free {
        taken.push(Shard(row.small("shard")?));
        losers.extend(row.maybe_bytes("owner")?.map(<[u8]>::to_vec));
    }
    let epoch = next_epoch(connection).await?;
    sqlx::query("UPDATE shard SET owner = $1, epoch = $2 WHERE shard = ANY($3)")
        .bind(bytes(taker))
        .bind(epoch.to_i64())
        .bind(numbers(&taken))
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE member SET lost = true WHERE node = ANY($1)")
        .bind(losers)
        .execute(connection)
        .await?;
    Ok(Some((epoch, taken)))
}

async fn survey(connection: &mut PgConnection) -> Result<Survey, Setback> {
    // All that follows sees one moment.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query(concat!(
        "SELECT value, ",
        clock!(),
        " AS at FROM meta WHERE key = 'db_incarnation'"
    ))
    .fetch_one(&mut *connection)
    .await?;
    let at = row.moment("at")?;
    let members = sqlx::query(
        "SELECT * FROM member
         WHERE lease_until > $1 OR node IN (SELECT owner FROM shard) ORDER BY node",
    )
    .bind(at.as_micros() - micros(RECENT))
    .fetch_all(&mut *connection)
    .await?;
    let shards = sqlx::query("SELECT * FROM shard ORDER BY shard")
        .fetch_all(connection)
        .await?;
    let members = members.iter().map(|row| rows::member(row, at));
    let shards = shards.iter().map(rows::shard);
    Ok(Survey {
        at,
        incarnation: row.small("value")?,
        members: members.collect::<Result<_, _>>()?,
        shards: shards.collect::<Result<_, _>>()?,
    })
}
