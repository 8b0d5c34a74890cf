//! Tokens and identities.

use protocol::{record::ChainHash, time::Timestamp};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::Sqlite;
use crate::store::{Admissions, Answer, Error, IdentityRow, JoinToken, TokenRefusal, rows};

impl Admissions for Sqlite {
    fn add_token<'a>(&'a self, token: &'a JoinToken) -> Answer<'a, ()> {
        let token = token.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let (used_at, used_by) = token.used.unzip();
                sqlx::query(
                    "INSERT INTO token (id, hash, roles, made_by, made_at, expires_at, used_at,
                         used_by, revoked)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
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
        Box::pin(async move {
            let tokens = sqlx::query("SELECT * FROM token ORDER BY made_at DESC, id DESC")
                .fetch_all(&self.readers)
                .await?;
            tokens.iter().map(rows::token).collect()
        })
    }

    fn revoke_token(&self, id: Uuid) -> Answer<'_, bool> {
        let clock = self.clock.clone();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let revoked = sqlx::query(
                    "UPDATE token SET revoked = 1
                     WHERE id = ? AND revoked = 0 AND used_at IS NULL AND expires_at > ?",
                )
                .bind(id.as_bytes().to_vec())
                .bind(clock.now().as_micros())
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
        let (identity, clock) = (identity.clone(), self.clock.clone());
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                if let Some(hash) = token
                    && let Err(refusal) = use_up(connection, &identity, hash, clock.now()).await?
                {
                    return Ok(Err(refusal));
                }
                sqlx::query(
                    "INSERT INTO identity (id, name, roles, admitted_at, revoked)
                     VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
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
        Box::pin(async move {
            let row = sqlx::query("SELECT * FROM identity WHERE id = ?")
                .bind(id.as_bytes().to_vec())
                .fetch_optional(&self.readers)
                .await?;
            row.as_ref().map(rows::identity).transpose()
        })
    }

    fn revoked(&self) -> Answer<'_, Vec<Uuid>> {
        Box::pin(async move {
            let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM identity WHERE revoked = 1")
                .fetch_all(&self.readers)
                .await?;
            ids.iter().map(|id| rows::uuid("id", id)).collect()
        })
    }

    fn revoke_identities<'a>(&'a self, name: &'a str) -> Answer<'a, u64> {
        let name = name.to_owned();
        Box::pin(self.writer.write(move |connection| {
            Box::pin(async move {
                let revoked =
                    sqlx::query("UPDATE identity SET revoked = 1 WHERE name = ? AND revoked = 0")
                        .bind(name)
                        .execute(connection)
                        .await?;
                Ok(revoked.rows_affected())
            })
        }))
    }
}

async fn use_up(
    connection: &mut SqliteConnection,
    identity: &IdentityRow,
    hash: ChainHash,
    now: Timestamp,
) -> Result<Result<(), TokenRefusal>, Error> {
    let row = sqlx::query("SELECT * FROM token WHERE hash = ?")
        .bind(hash.0.to_vec())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(Err(TokenRefusal::Unknown));
    };
    if let Err(refusal) = rows::token(&row)?.judge(identity, now) {
        return Ok(Err(refusal));
    }
    let namesakes = sqlx::query(
        "SELECT token.* FROM token JOIN identity ON identity.id = token.used_by
         WHERE identity.name = ? AND identity.revoked = 0",
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
    sqlx::query("UPDATE token SET used_at = ?, used_by = ? WHERE hash = ? AND used_at IS NULL")
        .bind(now.as_micros())
        .bind(identity.id.as_bytes().to_vec())
        .bind(hash.0.to_vec())
        .execute(connection)
        .await?;
    Ok(Ok(()))
}
