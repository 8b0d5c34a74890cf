//! Facts of unique names.

use super::{agent, all, alone, append, named, task};
use crate::store::{Append, Appended, Error, Refusal, Shared};

fn taken(number: u128) -> Result<Appended, Refusal> {
    Err(Refusal::NameTaken {
        stream: agent(number),
    })
}

fn hiding(number: u128, seq: u64, name: &str) -> Append {
    let mut hiding = append(agent(number), seq);
    hiding.summary.name = Some(name.into());
    hiding.summary.hidden = true;
    hiding
}

pub async fn a_name_is_unique_among_its_kind_and_tenant(store: Shared) -> Result<(), Error> {
    all(&store, &[named(agent(1), "bob")]).await?;
    assert_eq!(alone(&store, named(agent(2), "bob")).await?, taken(1));
    assert_eq!(store.stream(agent(2)).await?, None);
    let mut theirs = named(agent(3), "bob");
    theirs.record.tenant = "theirs".into();
    all(&store, &[named(task(1), "bob"), theirs]).await?;
    all(&store, &[named(agent(4), "Bob"), append(agent(5), 1)]).await?;
    // A repeat of the command that took the name is recognised as such.
    let again = alone(&store, named(agent(1), "bob")).await?;
    assert_eq!(again, Ok(Appended::Before));
    Ok(())
}

pub async fn of_two_with_one_name_the_first_wins(store: Shared) -> Result<(), Error> {
    let batch = [
        append(task(9), 1),
        named(agent(2), "bob"),
        named(agent(1), "bob"),
        append(task(8), 1),
        named(agent(3), "eve"),
    ];
    let now = Ok(Appended::Now);
    let verdicts = store.append(&batch).await?;
    assert_eq!(
        verdicts,
        vec![now.clone(), now.clone(), taken(2), now.clone(), now]
    );
    Ok(())
}

pub async fn a_hidden_stream_frees_its_name(store: Shared) -> Result<(), Error> {
    all(&store, &[named(agent(1), "bob")]).await?;
    all(&store, &[hiding(1, 2, "bob"), named(agent(2), "bob")]).await?;
    // Nor can it come back while another has it.
    let mut back = named(agent(1), "bob");
    back.record.seq = 3;
    back.record.cmd_id = append(agent(1), 3).record.cmd_id;
    assert_eq!(alone(&store, back.clone()).await?, taken(2));
    all(&store, &[hiding(2, 2, "bob"), back]).await?;
    all(&store, &[hiding(3, 1, "bob")]).await
}

pub async fn a_stream_may_not_take_a_name_later(store: Shared) -> Result<(), Error> {
    all(&store, &[named(agent(1), "bob"), named(agent(2), "eve")]).await?;
    let mut renamed = named(agent(2), "bob");
    renamed.record.seq = 2;
    renamed.record.cmd_id = append(agent(2), 2).record.cmd_id;
    assert_eq!(alone(&store, renamed.clone()).await?, taken(1));
    let row = store.stream(agent(2)).await?;
    assert_eq!(row.and_then(|row| row.summary.name), Some("eve".into()));
    renamed.summary.name = Some("pat".into());
    all(&store, &[renamed, named(agent(3), "eve")]).await
}

pub async fn a_stream_keeps_its_own_name(store: Shared) -> Result<(), Error> {
    all(&store, &[named(agent(1), "bob")]).await?;
    for seq in 2..5 {
        let mut next = append(agent(1), seq);
        next.summary.name = Some("bob".into());
        all(&store, &[next, append(task(seq.into()), 1)]).await?;
    }
    Ok(())
}

pub async fn rebuilding_the_index_cannot_double_a_name(store: Shared) -> Result<(), Error> {
    all(&store, &[named(agent(1), "bob"), named(agent(2), "eve")]).await?;
    let summary = named(agent(2), "bob").summary;
    let outcome = store.reindex(agent(2), &summary).await;
    assert!(matches!(outcome, Err(Error::Corrupt(_))), "{outcome:?}");
    all(&store, &[append(task(1), 1)]).await
}
