//! The first commit of a task, after which there is one.

use protocol::task::Event;
use ractor::ActorProcessingErr;
use runtime::{journal, store::Refusal};

use super::{
    Cx, Submit, commit, effect, flow, flush, follow_parents, idle_until, leave, lineage, pausing,
    rests, retire, set_timer, show, shown, stage, step, task_id,
};

pub(super) async fn submit(cx: &mut Cx, submit: Submit) -> Result<(), ActorProcessingErr> {
    if cx.state.head() > 0 {
        return Ok(());
    }
    cx.volatile.key = submit.key;
    cx.volatile.command = Some(submit.command);
    cx.volatile.actor.clone_from(&submit.user);
    cx.volatile.waiters.extend(submit.settled);
    let submitted = Event::Submitted {
        spec: Box::new(submit.spec),
        user: submit.user,
        trace: submit.trace,
    };
    stage(cx, [submitted, Event::Planned { plan: submit.plan }])?;
    let forked = submit.forked.map(|event| Event::Run { event });
    stage(cx, forked)?;
    let held = pausing::reconcile(cx);
    stage(cx, held)?;
    let is_part = cx.state.spec.parent_id.is_some();
    let now = cx.services.clock.now();
    // One that is to start later waits for that on disk.
    let mut idle = None;
    let written = match is_part {
        false => {
            flow::go_on(cx, now).await?;
            step::allocate(cx, now)?;
            idle = idle_until(cx, now);
            commit(cx, idle).await
        }
        true => match lineage::follow(cx).await {
            Ok(events) => {
                stage(cx, events)?;
                commit(cx, None).await
            }
            Err(error) => Err(error.into()),
        },
    };
    match written {
        Ok(()) => {
            show(cx);
            if is_part {
                // Whoever stops or pauses what it is a part of finds it from now on; who did before did
                // not. And nothing of it has started.
                follow_parents(cx).await?;
                flush(cx).await?;
            }
            // A client that went away finds its task by its key.
            let shown = cx.volatile.waiters.is_empty().then(|| Box::new(shown(cx)));
            let _ = submit.accepted.send(Ok(shown));
            effect::carry_out(cx)?;
            match idle {
                Some(_) => cx.passivate(),
                None if rests(cx, now) => leave(cx),
                None => set_timer(cx, now),
            }
            retire(cx)
        }
        Err(error) => {
            cx.volatile.effects.clear();
            for step in cx.volatile.requested.drain().collect::<Vec<_>>() {
                cx.services.allocator.forget(task_id(cx), step);
            }
            let _ = submit.accepted.send(Err(error));
            cx.passivate();
            Ok(())
        }
    }
}

/// What a refused first commit means to the client.
pub(crate) fn refused(error: &journal::Error) -> Option<&Refusal> {
    match error {
        journal::Error::Refused(refusal) => Some(refusal),
        journal::Error::Store(_) | journal::Error::Deposed(_) => None,
    }
}
