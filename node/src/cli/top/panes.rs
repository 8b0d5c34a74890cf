//! Where things stand on the screen.

use ratatui::layout::{Constraint, Layout, Rect};

/// The screen's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panes {
    pub(super) header: Rect,
    pub(super) tree: Rect,
    pub(super) nodes: Rect,
    pub(super) attention: Rect,
    pub(super) mailboxes: Rect,
    /// Where details are read, over all but header and footer.
    pub(super) details: Rect,
    pub(super) footer: Rect,
}

/// From this width on, there is room beside the tree.
const WIDE: u16 = 130;
/// With fewer lines, the tree has all of them.
const LOW: u16 = 16;

impl Panes {
    /// Beside the tree on a wide screen, below it on a narrow one, and the tree alone on a low one.
    pub(super) fn of(screen: Rect) -> Self {
        let [header, middle, footer] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(screen);
        let ([tree, others], direction) = if screen.height < LOW {
            let all = Layout::vertical([Constraint::Min(0), Constraint::Length(0)]);
            (all.areas(middle), Layout::horizontal::<[Constraint; 0]>([]))
        } else if screen.width >= WIDE {
            let beside = Layout::horizontal([Constraint::Min(0), Constraint::Length(52)]);
            (
                beside.areas(middle),
                Layout::vertical::<[Constraint; 0]>([]),
            )
        } else {
            let below = Layout::vertical([
                Constraint::Min(0),
                Constraint::Length((middle.height / 3).clamp(5, 10)),
            ]);
            (
                below.areas(middle),
                Layout::horizontal::<[Constraint; 0]>([]),
            )
        };
        let [nodes, attention, mailboxes] = direction
            .constraints([
                Constraint::Fill(4),
                Constraint::Fill(3),
                Constraint::Fill(3),
            ])
            .areas(others);
        Self {
            header,
            tree,
            nodes,
            attention,
            mailboxes,
            details: middle,
            footer,
        }
    }
}

/// How many lines of a list a pane shows between its frame and its heading.
pub(super) const fn lines(pane: Rect) -> usize {
    pane.height.saturating_sub(3) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(width: u16, height: u16) -> Panes {
        Panes::of(Rect::new(0, 0, width, height))
    }

    #[test]
    fn a_small_screen_has_the_tree_above_and_a_wide_one_beside_the_others() {
        let small = of(80, 24);
        assert_eq!((small.tree.width, small.tree.height), (80, 15));
        assert_eq!(small.nodes.y, 16);
        assert!(small.mailboxes.x > small.nodes.x);
        let wide = of(160, 50);
        assert_eq!((wide.tree.width, wide.tree.height), (108, 48));
        assert!(wide.mailboxes.y > wide.nodes.y);
        let low = of(80, 10);
        assert_eq!((low.tree.height, low.nodes.height), (8, 0));
    }

    #[test]
    fn no_screen_is_too_small_to_be_divided() {
        for width in 0..6 {
            for height in 0..6 {
                let panes = of(width, height);
                assert!(panes.tree.width <= width && panes.tree.height <= height);
            }
        }
    }
}
