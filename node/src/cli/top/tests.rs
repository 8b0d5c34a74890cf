//! The screen as operators see it: keys and news in, text out.

use protocol::api::{ActorView, AgentStats, AgentTotals, TreeDelta, TreeNode};
use ratatui::{Terminal, backend::TestBackend, layout::Rect};

use super::{
    draw::{Paint, draw},
    event::{Event, Press, Wish},
    pick::Step,
    state::Top,
};
use crate::cli::tree::{
    Key, Link, News,
    tests::{row, whole},
};

/// What stands on a screen of this size.
fn screen(top: &Top, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal
        .draw(|frame| draw(frame, top, Paint::Plain))
        .unwrap();
    let cells = drawn.buffer.content().chunks(usize::from(width));
    let lines = cells.map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect());
    lines
        .map(|line: String| line.trim_end().to_owned())
        .collect()
}

/// A screen that contains `text` somewhere.
fn shows(top: &Top, text: &str) -> bool {
    screen(top, 80, 24).iter().any(|line| line.contains(text))
}

fn press(top: &mut Top, presses: impl IntoIterator<Item = Press>) -> Option<Wish> {
    presses
        .into_iter()
        .map(|press| top.on(Event::Press(press)))
        .last()
        .flatten()
}

/// Two nodes, of which the second has an actor that is stuck and one that has much to do.
fn cluster() -> Top {
    let mut top = Top::default();
    top.on(Event::Size(Rect::new(0, 0, 80, 24)));
    top.on(Event::News(News::Link(Link::Live)));
    top.on(Event::News(News::Delta(whole(
        "one",
        &["/", "/agents", "/agents/reviewer", "/tasks"],
    ))));
    top.on(Event::News(News::Delta(whole("two", &["/", "/agents"]))));
    let stuck = TreeNode {
        state: "stuck".to_owned(),
        current: Some("Call".to_owned()),
        current_ms: Some(12_345),
        ..row("two", "/agents/slow")
    };
    let busy = TreeNode {
        mailbox: 4321,
        restarts: 2,
        ..row("two", "/agents/busy")
    };
    top.on(Event::News(News::Delta(TreeDelta {
        node: "two".to_owned(),
        reset: false,
        rows: vec![stuck, busy],
        gone: Vec::new(),
    })));
    top
}

#[test]
fn the_whole_cluster_stands_on_a_screen_of_80_by_24() {
    let expected = "\
troupe top  live  8 actors  4.0 msg/s  2 restarts  attention: 1
┌ actors ──────────────────────────────────────────────────────────────────────┐
│ACTOR                         KIND        STATE        MAILBOX   RATE RESTARTS│
│▾ one                         node                                            │
│  ▾ /                         agent       running            0    0.5        0│
│    ▸ agents (1)              agent       running            0    0.5        0│
│      tasks                   agent       running            0    0.5        0│
│▾ two                         node                                            │
│  ▾ /                         agent       running            0    0.5        0│
│    ▸ agents (2)              agent       ! 1 below          0    0.5        0│
│                                                                              │
│                                                                              │
│                                                                              │
│                                                                              │
│                                                                              │
└──────────────────────────────────────────────────────────────────────────────┘
┌ nodes ───────────────────────┐┌ attention: 1 ────────┐┌ mailboxes ───────────┐
│NODE     STATE    ACTORS MSG/S││STATE      ACTOR      ││WAITING ACTOR         │
│                              ││stuck      …ents/slow ││   4321 /agents/busy  │
│                              ││                      ││                      │
│                              ││                      ││                      │
│                              ││                      ││                      │
└──────────────────────────────┘└──────────────────────┘└──────────────────────┘
 ↑↓ move  ←→ fold  Enter details  / filter  Esc clear  Tab next list  q quit";
    assert_eq!(screen(&cluster(), 80, 24).join("\n"), expected);
}

#[test]
fn keys_open_fold_and_leave() {
    let mut top = cluster();
    let down = Press::Step(Step::Down);
    press(&mut top, [down, down, Press::Right]);
    assert!(shows(&top, "reviewer"));
    press(&mut top, [Press::Left]);
    assert!(!shows(&top, "reviewer"));
    // What is folded already leads to its parent, and folding that hides all.
    press(&mut top, [Press::Left, Press::Left]);
    assert!(!shows(&top, "tasks"));
    assert_eq!(press(&mut top, [Press::Char('q')]), Some(Wish::Leave));
    assert_eq!(press(&mut top, [Press::Interrupt]), Some(Wish::Leave));
}

#[test]
fn a_filter_finds_an_actor_in_what_is_folded_and_escape_takes_it_away() {
    let mut top = cluster();
    press(&mut top, [Press::Char('/'), Press::Char('q'), Press::Erase]);
    press(&mut top, "REVIEW".chars().map(Press::Char));
    assert!(shows(&top, "filter: REVIEW_"));
    assert!(shows(&top, "reviewer") && !shows(&top, "tasks"));
    press(&mut top, [Press::Enter]);
    assert!(shows(&top, "actors with \"REVIEW\""));
    press(&mut top, [Press::Escape]);
    assert!(!shows(&top, "reviewer") && shows(&top, "tasks"));
}

#[test]
fn an_actor_in_trouble_is_read_in_full_and_found_in_the_tree() {
    let mut top = cluster();
    let slow = Key::actor("two", "/agents/slow");
    let wish = press(&mut top, [Press::Tab, Press::Enter]);
    assert_eq!(wish, Some(Wish::Look(slow.clone())));
    assert_eq!(top.on(Event::Tick), Some(Wish::Look(slow.clone())));
    let actor = ActorView {
        row: row("two", "/agents/slow"),
        parent: None,
        child_paths: Vec::new(),
        failures: Vec::new(),
        life: Vec::new(),
        entity: None,
        budget: None,
    };
    // An answer for another one changes nothing.
    let other = Key::actor("one", "/agents/slow");
    top.on(Event::Actor(other, Err("not this one".to_owned())));
    assert!(!shows(&top, "not this one"));
    top.on(Event::Actor(slow, Ok(Box::new(actor))));
    assert!(shows(&top, "/agents/slow on two") && shows(&top, "handled"));
    press(&mut top, [Press::Char('q')]);
    assert!(shows(&top, "▾ agents") && shows(&top, "! stuck"));
}

#[test]
fn what_agents_took_stands_above_the_nodes() {
    let mut top = cluster();
    assert!(!shows(&top, "spend"));
    top.on(Event::Spent(AgentStats::default()));
    assert!(shows(&top, "nodes: no spend told"));
    top.on(Event::Spent(AgentStats {
        tokens: 12_345,
        cost_micros: 1_230_000,
        ..AgentStats::default()
    }));
    assert!(shows(&top, "nodes: 12.3k tok, cost 1.23"));
}

#[test]
fn what_each_agent_took_stands_in_its_row_and_in_its_details() {
    let mut top = cluster();
    let took = |tokens, cost_micros| AgentTotals {
        tokens,
        cost_micros,
        ..AgentTotals::default()
    };
    let agents = [("slow", took(1_250, 1_230_000)), ("busy", took(90, 0))];
    top.on(Event::Spent(AgentStats {
        agents: agents
            .map(|(name, totals)| (name.to_owned(), totals))
            .into(),
        ..AgentStats::default()
    }));
    press(&mut top, [Press::Char('/')]);
    press(&mut top, "agents/".chars().map(Press::Char));
    press(&mut top, [Press::Enter]);
    let line = |top: &Top, width, name: &str| {
        let lines = screen(top, width, 24);
        let line = lines.iter().find(|line| line.contains(name)).unwrap();
        line.trim_end_matches('│').trim_end().to_owned()
    };
    top.on(Event::Size(Rect::new(0, 0, 110, 24)));
    assert!(line(&top, 110, "ACTOR").contains("RESTARTS   TOKENS/COST"));
    assert!(line(&top, 110, "  slow").contains(" 1.2k/1.23"));
    assert!(line(&top, 110, "  busy").contains(" 90"));
    // Where there is no room, the details tell.
    top.on(Event::Size(Rect::new(0, 0, 80, 24)));
    assert!(!line(&top, 80, "  slow").contains("1.2k"));
    let slow = Key::actor("two", "/agents/slow");
    press(&mut top, [Press::Escape, Press::Tab, Press::Enter]);
    let actor = ActorView {
        row: row("two", "/agents/slow"),
        parent: None,
        child_paths: Vec::new(),
        failures: Vec::new(),
        life: Vec::new(),
        entity: None,
        budget: None,
    };
    top.on(Event::Actor(slow, Ok(Box::new(actor))));
    assert!(shows(&top, "spent so far: 1.2k tok, cost 1.23"));
}

#[test]
fn a_lost_connection_is_said_while_the_last_tree_stays() {
    let mut top = cluster();
    top.on(Event::News(News::Link(Link::Lost(
        "cannot reach it".to_owned(),
    ))));
    assert!(shows(&top, "OLD: cannot reach it") && shows(&top, "▾ two"));
    top.on(Event::Nodes(Err("not permitted".to_owned())));
    assert!(shows(&top, "not permitted"));
}

#[test]
fn a_name_cannot_drive_the_terminal() {
    let mut top = Top::default();
    top.on(Event::Size(Rect::new(0, 0, 80, 24)));
    top.on(Event::News(News::Delta(whole(
        "one",
        &["/", "/a\u{1b}[31mb"],
    ))));
    assert!(shows(&top, "a\\u{1b}[31mb"));
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let mut top = cluster();
    press(&mut top, [Press::Step(Step::Down), Press::Enter]);
    for (width, height) in [(1, 1), (10, 3), (40, 10), (79, 17), (200, 60)] {
        top.on(Event::Size(Rect::new(0, 0, width, height)));
        assert_eq!(screen(&top, width, height).len(), usize::from(height));
    }
}
