//! Where the boxes of a picture stand: each below those that it comes after.

/// Columns between two boxes.
const GAP: usize = 2;

/// How often everything is moved closer to what it is connected with.
const SWEEPS: usize = 8;

/// A box, or a line that passes a layer.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Which figure; none for a line.
    pub(super) figure: Option<usize>,
    pub(super) left: usize,
    pub(super) width: usize,
    /// In the layer above, and in the one below.
    above: Vec<usize>,
    below: Vec<usize>,
    /// Where it should be; negative while all is moved about.
    middle: i64,
}

impl Item {
    /// The column at which lines come and go.
    pub(super) const fn port(&self) -> usize {
        self.left + self.width / 2
    }

    fn new(figure: Option<usize>, width: usize) -> Self {
        Self {
            figure,
            left: 0,
            width,
            above: Vec::new(),
            below: Vec::new(),
            middle: 0,
        }
    }
}

/// Layers of boxes, the first one on top.
#[derive(Debug)]
pub(super) struct Layers {
    rows: Vec<Vec<Item>>,
}

impl Layers {
    /// `None` if arrows go round.
    pub(super) fn new(widths: &[usize], arrows: &[(usize, usize)]) -> Option<Self> {
        let depths = depths(widths.len(), arrows)?;
        let mut rows: Vec<Vec<Item>> = Vec::new();
        rows.resize_with(
            depths.iter().max().map_or(0, |deepest| deepest + 1),
            Vec::new,
        );
        let mut places = Vec::new();
        for (figure, (&width, &depth)) in widths.iter().zip(&depths).enumerate() {
            places.push(rows[depth].len());
            rows[depth].push(Item::new(Some(figure), width));
        }
        for &(from, to) in arrows {
            let mut above = places[from];
            for depth in depths[from] + 1..depths[to] {
                let place = rows[depth].len();
                rows[depth].push(Item::new(None, 1));
                join(&mut rows, depth - 1, above, place);
                above = place;
            }
            join(&mut rows, depths[to] - 1, above, places[to]);
        }
        let mut layers = Self { rows };
        layers.untangle();
        layers.place();
        Some(layers)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Vec<Item>> {
        self.rows.iter()
    }

    pub(super) fn width(&self) -> usize {
        let items = self.rows.iter().flatten();
        items.map(|item| item.left + item.width).max().unwrap_or(0)
    }

    /// The ports below each item of a layer.
    pub(super) fn below(&self, depth: usize) -> Vec<Vec<usize>> {
        let next = self.rows.get(depth + 1);
        let port = |at: &usize| next.and_then(|next| next.get(*at)).map(Item::port);
        let below = self.rows[depth].iter();
        below
            .map(|item| item.below.iter().filter_map(port).collect())
            .collect()
    }

    /// Puts each item where most of those above it are, so that few lines cross.
    fn untangle(&mut self) {
        for depth in 1..self.rows.len() {
            let mean = |item: &Item| match item.above.len() {
                0 => usize::MAX,
                many => item.above.iter().sum::<usize>() * 1_000 / many,
            };
            let mut order: Vec<usize> = (0..self.rows[depth].len()).collect();
            order.sort_by_key(|at| mean(&self.rows[depth][*at]));
            self.reorder(depth, &order);
        }
    }

    fn reorder(&mut self, depth: usize, order: &[usize]) {
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new;
        }
        self.rows[depth] = order
            .iter()
            .map(|old| self.rows[depth][*old].clone())
            .collect();
        let renumber = |at: &mut usize| *at = place[*at];
        if let Some(above) = depth
            .checked_sub(1)
            .and_then(|above| self.rows.get_mut(above))
        {
            above
                .iter_mut()
                .flat_map(|item| &mut item.below)
                .for_each(renumber);
        }
        if let Some(below) = self.rows.get_mut(depth + 1) {
            below
                .iter_mut()
                .flat_map(|item| &mut item.above)
                .for_each(renumber);
        }
    }

    /// Puts items side by side, each as near as it can to what it is connected with.
    fn place(&mut self) {
        for row in &mut self.rows {
            spread(row);
        }
        for _ in 0..SWEEPS {
            for depth in 1..self.rows.len() {
                let (above, rest) = self.rows.split_at_mut(depth);
                if let (Some(above), Some(row)) = (above.last(), rest.first_mut()) {
                    follow(row, |item| middles(&item.above, above));
                }
            }
            for depth in (1..self.rows.len()).rev() {
                let (rest, below) = self.rows.split_at_mut(depth);
                if let (Some(row), Some(below)) = (rest.last_mut(), below.first()) {
                    follow(row, |item| middles(&item.below, below));
                }
            }
        }
        let items = || self.rows.iter().flatten();
        let half = |item: &Item| i64::try_from(item.width / 2).unwrap_or(0);
        let leftmost = items()
            .map(|item| item.middle - half(item))
            .min()
            .unwrap_or(0);
        for item in self.rows.iter_mut().flatten() {
            item.left = usize::try_from(item.middle - half(item) - leftmost).unwrap_or(0);
        }
    }
}

fn middles(of: &[usize], row: &[Item]) -> Vec<i64> {
    let found = of.iter().filter_map(|at| row.get(*at));
    found.map(|item| item.middle).collect()
}

/// Moves each item of a row to the mean of what it should follow, without overlaps.
fn follow(row: &mut [Item], of: impl Fn(&Item) -> Vec<i64>) {
    let wanted: Vec<i64> = row
        .iter()
        .map(|item| match of(item).as_slice() {
            [] => item.middle,
            all => all.iter().sum::<i64>() / i64::try_from(all.len()).unwrap_or(1),
        })
        .collect();
    for (item, wanted) in row.iter_mut().zip(&wanted) {
        item.middle = *wanted;
    }
    spread(row);
    // Where they pushed each other to one side, all of them go half the way back.
    let pushed: i64 = row
        .iter()
        .zip(&wanted)
        .map(|(item, wanted)| item.middle - wanted)
        .sum();
    let back = pushed / i64::try_from(row.len()).unwrap_or(1).max(1);
    for item in row {
        item.middle -= back;
    }
}

fn spread(row: &mut [Item]) {
    let mut free = i64::MIN;
    for item in row {
        let half = i64::try_from(item.width / 2).unwrap_or(0);
        let width = i64::try_from(item.width + GAP).unwrap_or(i64::MAX);
        item.middle = item.middle.max(free.saturating_add(half));
        free = item.middle - half + width;
    }
}

fn join(rows: &mut [Vec<Item>], depth: usize, above: usize, below: usize) {
    // An arrow that is drawn already is not drawn again.
    if !rows[depth][above].below.contains(&below) {
        rows[depth][above].below.push(below);
        rows[depth + 1][below].above.push(above);
    }
}

/// For each figure the longest way to it.
fn depths(figures: usize, arrows: &[(usize, usize)]) -> Option<Vec<usize>> {
    let mut depths = vec![0; figures];
    // As many rounds as the longest way can have; one more changes nothing unless arrows go round.
    for _ in 0..=figures {
        let mut moved = false;
        for &(from, to) in arrows {
            if depths[to] <= depths[from] {
                depths[to] = depths[from] + 1;
                moved = true;
            }
        }
        if !moved {
            return Some(depths);
        }
    }
    None
}
