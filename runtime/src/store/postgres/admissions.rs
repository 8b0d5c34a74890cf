//! Tokens and identities.

use protocol::{record::ChainHash, time::Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Postgres,
    gateway::{Cut, Setback, asked},
    members::{now, one_at_a_time},
};
use crate::store::{Admissions, Answer, IdentityRow, JoinToken, TokenRefusal, rows};

impl Admissions for Postgres {
    fn add_token<'a>(&'a self, token: &'a JoinToken) -> Answer<'a, ()> {
        let token = token.clone();
        Box::pin(self.work.write(Cut::Repeat, move |connection| {
            let token = token.clone();
            Box::pin(async move {
                let (used_at, used_by) = token.used.unzip();
                sqlx::query(
                    "INSERT INTO token (id, hash, roles, made_by, made_at, expires_at, used_at,
                         used_by, revoked)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
                )
                .bind(token.id.as_bytes().to_vec())
                .bind(token.hash.0.to_vec())
                .bind(rows::to_json(&token.roles)?)
                .bind(token.made_by)
                .bind(token.made_at.as_micros())
                .bind(token.expires_at.as_micros())
                .bind(used_at.map(Timestamp::as_micros))
                .bind(used_by.map(|by| by.as_bytes().to_vec()))
                .bind(token.revoked)
                .execute(connection)
                .await?;
                Ok(())
            })
        }))
    }

    fn tokens(&self) -> Answer<'_, Vec<JoinToken>> {
        asked(async move {
            let tokens = sqlx::query("SELECT * FROM token ORDER BY made_at DESC, id DESC")
                .fetch_all(self.reading()?)
                .await?;
            tokens.iter().map(rows::token).collect()
        })
    }

    fn revoke_token(&self, id: Uuid) -> Answer<'_, bool> {
        Box::pin(self.work.write(Cut::Tell, move |connection| {
            Box::pin(async move {
                let revoked = sqlx::query(
                    "UPDATE token SET revoked = true
                     WHERE id = $1 AND NOT revoked AND used_at IS NULL
                         AND expires_at > extract(epoch FROM clock_timestamp()) * 1000000",
                )
                .bind(id.as_bytes().to_vec())
                .execute(connection)
                .await?;
                Ok(revoked.rows_affected() > 0)
            })
        }))
    }

    fn admit<'a>(
        &'a self,
        identity: &'a IdentityRow,
        token: Option<ChainHash>,
    ) -> Answer<'a, Result<(), TokenRefusal>> {
        let identity = identity.clone();
        // A token admits the identity again that used it, so an answer that was lost is told.
        Box::pin(self.work.transact(Cut::Repeat, move |connection| {
            let identity = identity.clone();
            Box::pin(async move {
                if let Some(hash) = token
                    && let Err(refusal) = use_up(connection, &identity, hash).await?
                {
                    return Ok(Err(refusal));
                }
                sqlx::query(
                    "INSERT INTO identity (id, name, roles, admitted_at, revoked)
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                )
                .bind(identity.id.as_bytes().to_vec())
                .bind(identity.name)
                .bind(rows::to_json(&identity.roles)?)
                .bind(identity.admitted_at.as_micros())
                .bind(identity.revoked)
                .execute(connection)
                .await?;
                Ok(Ok(()))
            })
        }))
    }

    fn identity(&self, id: Uuid) -> Answer<'_, Option<IdentityRow>> {
        asked(async move {
            let row = sqlx::query("SELECT * FROM identity WHERE id = $1")
                .bind(id.as_bytes().to_vec())
                .fetch_optional(self.reading()?)
                .await?;
            row.as_ref().map(rows::identity).transpose()
        })
    }

    fn revoked(&self) -> Answer<'_, Vec<Uuid>> {
        Box::pin(async move {
            let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM identity WHERE revoked")
                .fetch_all(self.reading()?)
                .await?;
            ids.iter().map(|id| rows::uuid("id", id)).collect()
        })
    }

    fn revoke_identities<'a>(&'a self, name: &'a str) -> Answer<'a, u64> {
        let name = name.to_owned();
        Box::pin(self.work.write(Cut::Tell, move |connection| {
            let name = name.clone();
            Box::pin(async move {
                let revoked = sqlx::query(
                    "UPDATE identity SET revoked = true WHERE name = $1 AND NOT revoked",
                )
                .bind(name)
                .execute(connection)
                .await?;
                Ok(revoked.rows_affected())
            })
        }))
    }
}

async fn use_up(
    connection: &mut PgConnection,
    identity: &IdentityRow,
    hash: ChainHash,
) -> Result<Result<(), TokenRefusal>, Setback> {
    // Of many who try at once, the later ones wait here and see the token used, or the name.
    one_at_a_time(connection).await?;
    let row = sqlx::query("SELECT * FROM token WHERE hash = $1 FOR UPDATE")
        .bind(hash.0.to_vec())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(Err(TokenRefusal::Unknown));
    };
    let now = now(connection).await?;
    if let Err(refusal) = rows::token(&row)?.judge(identity, now) {
        return Ok(Err(refusal));
    }
    let namesakes = sqlx::query(
        "SELECT token.* FROM token JOIN identity ON identity.id = token.used_by
         WHERE identity.name = $1 AND NOT identity.revoked",
    )
    .bind(identity.name.as_str())
    .fetch_all(&mut *connection)
    .await?;
    for row in &namesakes {
        if rows::token(row)?.keeps_a_name(identity, now) {
            let name = identity.name.clone();
            return Ok(Err(TokenRefusal::NameTaken { name }));
        }
    }
    sqlx::query("UPDATE token SET used_at = $1, used_by = $2 WHERE hash = $3 AND used_at IS NULL")
        .bind(now.as_micros())
        .bind(identity.id.as_bytes().to_vec())
        .bind(hash.0.to_vec())
        .execute(connection)
        .await?;
    Ok(Ok(()))
}
