//! Facts of tokens, and of the identities that they admit.

use protocol::{
    member::{NodeRole, Roles},
    record::ChainHash,
    time::Timestamp,
};
use uuid::Uuid;

use super::at;
use crate::store::{Error, IdentityRow, JoinToken, Shared, TokenRefusal};

/// Later than any test runs.
const FAR: Timestamp = Timestamp::from_micros(32_503_680_000_000_000);

pub(super) fn token(number: u8) -> JoinToken {
    JoinToken {
        id: Uuid::from_u128(number.into()),
        hash: ChainHash([number; 32]),
        roles: Roles::all(),
        made_by: "ann".into(),
        made_at: at(number.into()),
        expires_at: FAR,
        used: None,
        revoked: false,
    }
}

fn identity(number: u128) -> IdentityRow {
    IdentityRow {
        id: Uuid::from_u128(number),
        name: format!("n{number}"),
        roles: Roles::all(),
        admitted_at: at(9),
        revoked: false,
    }
}

pub async fn of_many_who_race_a_token_admits_one(store: Shared) -> Result<(), Error> {
    store.add_token(&token(1)).await?;
    let racers: Vec<_> = (1..=50)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let identity = identity(number);
                store.admit(&identity, Some(token(1).hash)).await
            })
        })
        .collect();
    let mut admitted = Vec::new();
    for (number, racer) in (1..).zip(racers) {
        let outcome = racer
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        match outcome? {
            Ok(()) => admitted.push(number),
            Err(refusal) => assert!(matches!(refusal, TokenRefusal::Used { .. }), "{refusal}"),
        }
    }
    let [winner] = admitted[..] else {
        panic!("{admitted:?} were admitted");
    };
    for number in 1..=50 {
        let known = store.identity(Uuid::from_u128(number)).await?.is_some();
        assert_eq!(known, number == winner, "{number}");
    }
    let used = store.tokens().await?[0].used;
    assert_eq!(used.map(|(_, by)| by), Some(Uuid::from_u128(winner)));
    // The winner's answer may have been lost.
    let again = store.admit(&identity(winner), Some(token(1).hash)).await?;
    assert_eq!(again, Ok(()));
    Ok(())
}

/// Of several machines that want one name at one moment, the others keep their tokens.
pub async fn of_many_who_race_for_a_name_one_uses_its_token(store: Shared) -> Result<(), Error> {
    for number in 1..=5 {
        store.add_token(&token(number)).await?;
    }
    let racers: Vec<_> = (1..=5)
        .map(|number: u8| {
            let store = store.clone();
            tokio::spawn(async move {
                let identity = IdentityRow {
                    name: "n".into(),
                    ..identity(number.into())
                };
                let admitted = store.admit(&identity, Some(token(number).hash)).await?;
                Ok::<_, Error>((number, admitted))
            })
        })
        .collect();
    let (mut admitted, mut refused) = (Vec::new(), Vec::new());
    for racer in racers {
        let outcome = racer
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        match outcome? {
            (number, Ok(())) => admitted.push(number),
            (number, Err(_)) => refused.push(number),
        }
    }
    assert_eq!((admitted.len(), refused.len()), (1, 4), "{admitted:?}");
    for kept in store.tokens().await? {
        assert_eq!(kept.used.is_some(), kept.id == token(admitted[0]).id);
    }
    // Their tokens are good for another name, and the name is free when the winner was removed.
    let other = identity(refused[0].into());
    let outcome = store.admit(&other, Some(token(refused[0]).hash)).await?;
    assert_eq!(outcome, Ok(()));
    assert_eq!(store.revoke_identities("n").await?, 1);
    let same = IdentityRow {
        name: "n".into(),
        ..identity(refused[1].into())
    };
    let outcome = store.admit(&same, Some(token(refused[1]).hash)).await?;
    assert_eq!(outcome, Ok(()));
    Ok(())
}

pub async fn a_token_that_does_not_count_admits_nobody(store: Shared) -> Result<(), Error> {
    let expired = JoinToken {
        expires_at: at(7),
        ..token(2)
    };
    let worker: Roles = [NodeRole::Worker].into_iter().collect();
    let narrow = JoinToken {
        roles: worker.clone(),
        ..token(4)
    };
    for token in [&token(1), &expired, &token(3), &narrow] {
        store.add_token(token).await?;
    }
    assert!(store.revoke_token(token(3).id).await?);
    assert_eq!(
        store.admit(&identity(1), Some(token(1).hash)).await?,
        Ok(())
    );
    let used = store.tokens().await?;
    let used = used.iter().find(|kept| kept.id == token(1).id);
    let (used_at, _) = used.and_then(|token| token.used).unwrap_or_default();
    for (number, refusal) in [
        (1, TokenRefusal::Used { at: used_at }),
        (2, TokenRefusal::Expired { at: at(7) }),
        (3, TokenRefusal::Revoked),
        (
            4,
            TokenRefusal::Roles {
                allowed: worker.clone(),
            },
        ),
        (5, TokenRefusal::Unknown),
    ] {
        let outcome = store.admit(&identity(9), Some(token(number).hash)).await?;
        assert_eq!(outcome, Err(refusal));
    }
    assert_eq!(store.identity(identity(9).id).await?, None);
    let modest = IdentityRow {
        roles: worker,
        ..identity(9)
    };
    assert_eq!(store.admit(&modest, Some(narrow.hash)).await?, Ok(()));
    assert_eq!(store.identity(modest.id).await?, Some(modest));
    Ok(())
}

pub async fn tokens_are_listed_and_revoked_while_they_count(store: Shared) -> Result<(), Error> {
    for number in [2, 1, 3] {
        store.add_token(&token(number)).await?;
    }
    assert_eq!(store.tokens().await?, [token(3), token(2), token(1)]);
    assert!(store.revoke_token(token(2).id).await?);
    assert!(!store.revoke_token(token(2).id).await?);
    assert!(!store.revoke_token(token(9).id).await?);
    store.admit(&identity(1), Some(token(1).hash)).await?.ok();
    assert!(!store.revoke_token(token(1).id).await?);
    let revoked = store.tokens().await?.into_iter().map(|token| token.revoked);
    assert_eq!(revoked.collect::<Vec<_>>(), [false, true, false]);
    Ok(())
}

pub async fn identities_are_revoked_by_name(store: Shared) -> Result<(), Error> {
    for number in 1..=3 {
        let row = IdentityRow {
            name: if number < 3 { "a" } else { "b" }.into(),
            ..identity(number)
        };
        // The founder has no token to show.
        assert_eq!(store.admit(&row, None).await?, Ok(()));
    }
    assert_eq!(store.revoke_identities("a").await?, 2);
    assert_eq!(store.revoke_identities("a").await?, 0);
    for (number, revoked) in [(1, true), (2, true), (3, false)] {
        let row = store.identity(Uuid::from_u128(number)).await?;
        assert_eq!(row.map(|row| row.revoked), Some(revoked));
    }
    Ok(())
}
