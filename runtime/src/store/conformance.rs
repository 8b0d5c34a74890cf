//! One suite that every store passes: each fact is a sentence of the traits' contracts.
//!
//! `store_conformance!(make)` makes a test of each, where `make` is an async function that answers
//! an empty store and whatever must be kept alive beside it.

pub mod admissions;
pub mod append;
pub mod chronicles;
pub mod claim;
pub mod effects;
pub mod members;
pub mod names;
pub mod shards;
pub mod streams;
pub mod views;

use protocol::{
    entity::{EntityId, EntityKind},
    epoch::Epoch,
    id::{CommandId, NodeId},
    record::{ChainHash, Record, Summary},
    time::Timestamp,
};
use uuid::Uuid;

use super::{Append, Appended, Error, Idempotency, Refusal, Shared};

/// Makes a test of every fact for one store.
#[macro_export]
macro_rules! store_conformance {
    ($make:path) => {
        $crate::store_conformance!(@facts $make,
            append {
                an_append_makes_a_stream_and_the_next_extends_it,
                a_stream_grows_only_at_its_head,
                a_refused_append_changes_nothing,
                a_refused_append_leaves_its_neighbours_alone,
                an_append_is_recognised_by_its_command,
                a_deposed_owner_cannot_append,
                a_large_batch_keeps_its_order,
                an_empty_batch_is_committed,
                records_read_back_as_written,
                reading_starts_after_a_position,
                the_journal_holds_every_stream_in_order,
                the_end_of_the_journal_is_behind_all_that_was_appended,
                a_key_makes_one_stream,
                a_key_is_the_tenants_own,
                of_two_with_one_key_the_first_wins,
                a_key_of_a_refused_append_stays_free,
            }
            names {
                a_name_is_unique_among_its_kind_and_tenant,
                of_two_with_one_name_the_first_wins,
                a_hidden_stream_frees_its_name,
                a_stream_may_not_take_a_name_later,
                a_stream_keeps_its_own_name,
                rebuilding_the_index_cannot_double_a_name,
            }
            streams {
                the_index_shows_the_last_append,
                lists_are_the_newest_first_and_leave_out_hidden_ones,
                lists_filter,
                lists_find_text_case_aside,
                runs_are_found_by_their_workflow_and_by_whether_they_wait,
                lists_come_in_pages,
                streams_are_counted_by_status,
                open_streams_are_found_in_order,
                a_parked_stream_is_not_open,
                parked_streams_are_found_in_order_by_kind_and_shard,
                the_index_can_be_rebuilt,
                sizes_are_told,
            }
            claim {
                each_start_has_a_greater_epoch,
                a_claim_fences_earlier_owners,
                a_later_epoch_keeps_its_streams,
                of_many_claims_each_is_answered,
                of_racing_owners_one_appends,
            }
            members {
                a_cluster_is_founded_once,
                a_member_is_seen_as_it_announced_itself,
                a_name_is_one_members_while_its_lease_runs,
                who_is_refused_a_name_sees_its_holder_renew,
                a_former_start_that_is_proved_dead_leaves,
                a_lapsed_owner_loses_its_shards_and_never_renews,
                a_lapsed_lease_is_renewed_while_no_shard_was_taken,
                only_who_is_up_and_has_a_lease_takes,
                who_left_frees_its_shards_and_does_not_come_back,
                who_drains_does_so_still_after_it_lost_its_lease,
                what_ended_long_ago_is_forgotten,
            }
            shards {
                free_shards_are_taken_under_one_new_epoch,
                of_racing_takers_each_shard_has_one,
                shards_that_were_given_back_are_free,
                what_was_taken_again_is_not_given_back_by_a_late_word,
                epochs_grow_over_starts_and_takings,
                a_claim_needs_the_shard_that_was_taken,
                a_stream_is_made_by_the_owner_of_its_shard,
                open_streams_and_reminders_are_found_by_shard,
            }
            admissions {
                of_many_who_race_a_token_admits_one,
                of_many_who_race_for_a_name_one_uses_its_token,
                a_token_that_does_not_count_admits_nobody,
                tokens_are_listed_and_revoked_while_they_count,
                identities_are_revoked_by_name,
            }
            effects {
                reminders_are_due_the_earliest_first,
                a_reminder_is_replaced_and_cleared_by_name,
                a_delivered_reminder_is_gone_unless_it_was_set_again,
                a_delivery_is_claimed_by_one_courier,
                a_postponed_delivery_counts_its_tries,
                a_settled_delivery_is_gone,
                a_delivery_is_added_once,
                refused_appends_have_no_effects,
            }
            chronicles {
                segments_read_back_in_order_up_to_a_moment,
                a_segment_is_kept_once,
                a_moment_has_the_last_chapter_of_each_start_of_a_node,
                an_ended_chapter_says_when,
                what_is_told_after_an_end_voids_it,
                a_chapter_begins_with_the_last_piece_of_its_base,
                segments_read_backwards_a_few_at_a_time,
                whole_chapters_are_forgotten,
            }
            views {
                a_fold_writes_rows_and_cursor,
                a_cleared_view_starts_again,
                the_newest_snapshot_is_kept,
                a_closed_store_fails,
                a_store_answers_a_probe,
            }
        );
    };
    (@facts $make:path, $($part:ident { $($fact:ident),* $(,)? })*) => { $($(
        #[tokio::test]
        async fn $fact() -> Result<(), $crate::store::Error> {
            let (store, _beside) = $make().await;
            $crate::store::conformance::$part::$fact(store).await
        }
    )*)* };
}

/// A task whose place among others is `number`.
#[must_use]
pub fn task(number: u128) -> EntityId {
    EntityId::new(EntityKind::Task, Uuid::from_u128(number))
}

/// An agent whose place among others is `number`.
#[must_use]
pub fn agent(number: u128) -> EntityId {
    EntityId::new(EntityKind::Agent, Uuid::from_u128(number))
}

/// An append of one event that makes sense of everything but `stream` and `seq` itself.
///
/// Its command is new in every stream and position.
#[must_use]
pub fn append(stream: EntityId, seq: u64) -> Append {
    let command = Uuid::from_u64_pair(seq, stream.key().as_u64_pair().1);
    Append {
        record: Record {
            stream,
            seq,
            count: 1,
            epoch: Epoch::new(1, 1),
            owner: NodeId::from_uuid(Uuid::from_u128(1)),
            cmd_id: CommandId::from_uuid(command),
            tenant: "default".into(),
            actor: "ann".into(),
            at: Timestamp::from_micros(1_000 + seq.cast_signed()),
            version: 1,
            data: format!(r#"[{{"type":"tried","seq":{seq}}}]"#),
            hash: ChainHash([7; 32]),
        },
        summary: Summary {
            status: "pending".into(),
            open: true,
            user: "ann".into(),
            body: r#"{"description":"tidy up"}"#.into(),
            ..Summary::default()
        },
        idempotency: None,
        reminders: Vec::new(),
        outbox: Vec::new(),
    }
}

/// A run of a workflow whose index says so in its body, as all did once, and a task that is none.
#[cfg(test)]
#[must_use]
pub fn run_and_task() -> (EntityId, [Append; 2]) {
    let workflow = EntityId::new(EntityKind::Workflow, Uuid::from_u128(0xab));
    let mut run = append(task(1), 1);
    let key = workflow.key().simple();
    run.summary.body = format!(r#"{{"workflow":{{"id":"workflow_{key}","name":"n"}}}}"#);
    (workflow, [run, append(task(2), 1)])
}

/// An append that makes a stream with a name.
#[must_use]
pub fn named(stream: EntityId, name: &str) -> Append {
    let mut append = append(stream, 1);
    append.summary.name = Some(name.into());
    append
}

/// An append that makes a stream under a client's key.
#[must_use]
pub fn keyed(stream: EntityId, key: &str) -> Append {
    Append {
        idempotency: Some(Idempotency {
            key: key.into(),
            body_hash: ChainHash([1; 32]),
        }),
        ..append(stream, 1)
    }
}

/// Appends one alone.
pub async fn alone(store: &Shared, append: Append) -> Result<Result<Appended, Refusal>, Error> {
    let mut verdicts = store.append(&[append]).await?;
    assert_eq!(verdicts.len(), 1);
    Ok(verdicts.remove(0))
}

/// Appends all of them in one batch and sees that each was committed now.
pub async fn all(store: &Shared, batch: &[Append]) -> Result<(), Error> {
    let verdicts = store.append(batch).await?;
    assert_eq!(verdicts, vec![Ok(Appended::Now); batch.len()]);
    Ok(())
}

const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}
