//! Cuts a tale that is long, so that nobody has to take all of it at once.

use std::collections::BTreeMap;

use protocol::api::LifeEvent;

use super::{codec::Tale, past::PastActor};

/// Bytes of a piece before it is encoded, about.
pub(super) const PIECE: usize = 256 << 10;

/// What numbers and moments take, at most.
const BESIDE: usize = 48;

/// What a tale tells of one path.
#[derive(Default)]
struct Place {
    actor: Option<PastActor>,
    is_gone: bool,
    life: Vec<LifeEvent>,
}

/// The tale in pieces of `size` bytes, about; what it tells of one path stays together.
pub(super) fn cut(tale: Tale, size: usize) -> Vec<Tale> {
    if weight(&tale) <= size {
        return vec![tale];
    }
    let mut places = BTreeMap::<String, Place>::new();
    let (from, to) = (tale.from, tale.to);
    for (path, actor) in tale.actors {
        places.entry(path).or_default().actor = Some(actor);
    }
    for path in tale.gone {
        places.entry(path).or_default().is_gone = true;
    }
    for turn in tale.life {
        places.entry(turn.path.clone()).or_default().life.push(turn);
    }
    let empty = || Tale {
        from,
        to,
        ..Tale::default()
    };
    let (mut pieces, mut piece, mut filled) = (Vec::new(), empty(), 0);
    for (path, place) in places {
        let more = place.weight(&path);
        if filled > 0 && filled + more > size {
            pieces.push(std::mem::replace(&mut piece, empty()));
            filled = 0;
        }
        filled += more;
        piece.life.extend(place.life);
        if place.is_gone {
            piece.gone.push(path.clone());
        }
        piece.actors.extend(place.actor.map(|actor| (path, actor)));
    }
    pieces.push(piece);
    pieces
}

impl Place {
    fn weight(&self, path: &str) -> usize {
        let actor = self.actor.as_ref().map(|it| of_actor(path, it));
        let life: usize = self.life.iter().map(of_turn).sum();
        actor.unwrap_or(path.len() + BESIDE) + life
    }
}

fn weight(tale: &Tale) -> usize {
    let actors = tale.actors.iter().map(|(path, it)| of_actor(path, it));
    let gone = tale.gone.iter().map(|path| path.len() + BESIDE);
    let life = tale.life.iter().map(of_turn);
    actors.chain(gone).chain(life).sum()
}

fn of_actor(path: &str, actor: &PastActor) -> usize {
    let words = path.len() + actor.kind.len() + actor.state.len();
    words + length(&actor.last_error) + length(&actor.restored_from) + BESIDE
}

fn of_turn(turn: &LifeEvent) -> usize {
    let words = turn.path.len() + turn.kind.len();
    words + length(&turn.reason) + length(&turn.restored_from) + BESIDE
}

fn length(word: &Option<String>) -> usize {
    word.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use protocol::{api::Life, time::Timestamp};

    use super::*;

    fn tale(actors: usize) -> Tale {
        let at = Timestamp::from_micros(7);
        let path = |number: usize| format!("/tasks/{number:05}");
        let actor = PastActor {
            kind: "task".to_owned(),
            state: "running".to_owned(),
            started_at: at,
            restarts: 0,
            last_error: None,
            restored_from: None,
        };
        let turn = |number| LifeEvent {
            at,
            node: "n".to_owned(),
            path: path(number),
            kind: "task".to_owned(),
            what: Life::Failed,
            reason: Some("no luck".repeat(100)),
            restored_from: None,
        };
        Tale {
            from: at,
            to: at,
            actors: (0..actors).map(|it| (path(it), actor.clone())).collect(),
            gone: vec!["/gone".to_owned()],
            life: (0..actors).step_by(3).map(turn).collect(),
        }
    }

    #[test]
    fn a_long_tale_comes_in_pieces_that_together_tell_the_same() {
        let whole = tale(2_000);
        let pieces = cut(whole.clone(), 64 << 10);
        assert!(pieces.len() > 5, "{}", pieces.len());
        let mut joined = Tale {
            from: whole.from,
            to: whole.to,
            ..Tale::default()
        };
        for piece in pieces {
            assert!(weight(&piece) <= 64 << 10);
            joined.actors.extend(piece.actors);
            joined.gone.extend(piece.gone);
            joined.life.extend(piece.life);
        }
        assert_eq!(joined, whole);
    }

    #[test]
    fn a_short_tale_is_one_piece_and_so_is_what_is_too_long_at_one_path() {
        assert_eq!(cut(tale(3), 64 << 10), [tale(3)]);
        assert_eq!(cut(Tale::default(), 0), [Tale::default()]);
        assert_eq!(cut(tale(3), 1).len(), 4);
    }
}
