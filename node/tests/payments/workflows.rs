//! Workflows that pay, and what they must have done when they are over.

use protocol::{
    plan::Effect::{self, Idempotent, Irreversible, Pure},
    task::TaskStatus,
};
use serde_json::{Value, json};

use super::{
    judge::Expected,
    till::{TILL, pays, pays_back},
};

/// What a run is a run of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two branches at once.
    Checkout,
    /// Each element of a list.
    Basket,
    /// A loop.
    Instalments,
    /// What was done is taken back.
    Regret,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::Checkout,
        Self::Basket,
        Self::Instalments,
        Self::Regret,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Basket => "basket",
            Self::Instalments => "instalments",
            Self::Regret => "regret",
        }
    }

    pub(crate) fn definition(self) -> Value {
        let (nodes, edges, more) = match self {
            Self::Checkout => checkout(),
            Self::Basket => basket(),
            Self::Instalments => instalments(),
            Self::Regret => regret(),
        };
        let mut definition = json!({ "name": self.name(), "nodes": nodes, "edges": edges });
        for (key, value) in more.as_object().unwrap() {
            definition[key] = value.clone();
        }
        definition
    }

    pub(crate) const fn expected(self) -> Expected {
        match self {
            Self::Checkout => CHECKOUT,
            Self::Basket => BASKET,
            Self::Instalments => INSTALMENTS,
            Self::Regret => REGRET,
        }
    }
}

const CHECKOUT: Expected = Expected {
    end: TaskStatus::Completed,
    payments: &[
        ("quote", Pure),
        ("charge", Irreversible),
        ("stock", Idempotent),
        ("note", Pure),
    ],
    order: &[
        ("quote", "charge"),
        ("quote", "stock"),
        ("charge", "note"),
        ("stock", "note"),
    ],
    result: |receipt| json!({ "charge": receipt("charge"), "stock": receipt("stock"), "note": receipt("note") }),
};

fn checkout() -> (Value, Value, Value) {
    let nodes = json!([
        pays("quote", Pure, &[]),
        { "id": "both", "type": "parallel", "needs": ["quote"] },
        pays("charge", Irreversible, &["both"]),
        pays("stock", Idempotent, &["both"]),
        { "id": "done", "type": "join", "needs": ["charge", "stock"] },
        pays("note", Pure, &["done"]),
    ]);
    let output = json!({
        "charge": "$.nodes.charge.output", "stock": "$.nodes.stock.output", "note": "$.nodes.note.output",
    });
    (nodes, json!([]), json!({ "output": output }))
}

const BASKET: Expected = Expected {
    end: TaskStatus::Completed,
    payments: &[
        ("pay[0]", Irreversible),
        ("pay[1]", Irreversible),
        ("pay[2]", Irreversible),
        ("ship[0]", Idempotent),
        ("ship[1]", Idempotent),
        ("ship[2]", Idempotent),
    ],
    order: &[("pay[0]", "ship[0]"), ("pay[2]", "ship[1]")],
    result: |receipt| {
        json!({
            "paid": [receipt("pay[0]"), receipt("pay[1]"), receipt("pay[2]")],
            "shipped": [receipt("ship[0]"), receipt("ship[1]"), receipt("ship[2]")],
        })
    },
};

fn basket() -> (Value, Value, Value) {
    let each = |id: &str, class: Effect, over: &str, needs: &[&str]| {
        json!({
            "id": id, "type": "map", "over": over, "effect": class, "needs": needs,
            "each": { "agent": TILL, "with": { "class": class, "by": id, "item": "$.item" } },
        })
    };
    let nodes = json!([
        each("pay", Irreversible, "$.input.items[*]", &[]),
        each("ship", Idempotent, "$.nodes.pay.output[*]", &["pay"]),
    ]);
    let output = json!({ "paid": "$.nodes.pay.output", "shipped": "$.nodes.ship.output" });
    (nodes, json!([]), json!({ "output": output }))
}

const INSTALMENTS: Expected = Expected {
    end: TaskStatus::Completed,
    payments: &[
        ("pay", Irreversible),
        ("book", Idempotent),
        ("pay.2", Irreversible),
        ("book.2", Idempotent),
        ("pay.3", Irreversible),
        ("book.3", Idempotent),
    ],
    order: &[
        ("pay", "book"),
        ("book", "pay.2"),
        ("pay.2", "book.2"),
        ("book.2", "pay.3"),
        ("pay.3", "book.3"),
    ],
    result: |receipt| json!([receipt("pay"), receipt("pay.2"), receipt("pay.3")]),
};

fn instalments() -> (Value, Value, Value) {
    let mut pay = pays("pay", Irreversible, &[]);
    pay["set"] = json!({ "paid": "${context.paid + [output]}" });
    let nodes = json!([
        pay,
        pays("book", Idempotent, &["pay"]),
        { "id": "done", "type": "transform", "needs": ["book"], "output": "$.context.paid" },
    ]);
    let edges = json!([{
        "from": "book", "to": "pay", "condition": "len(context.paid) < 3", "loop": { "max_iterations": 5 },
    }]);
    (nodes, edges, json!({ "context": { "paid": [] } }))
}

const REGRET: Expected = Expected {
    end: TaskStatus::Failed,
    payments: &[
        ("reserve", Idempotent),
        ("charge", Irreversible),
        ("charge~undo", Irreversible),
        ("reserve~undo", Idempotent),
    ],
    order: &[
        ("reserve", "charge"),
        ("charge", "charge~undo"),
        ("charge~undo", "reserve~undo"),
    ],
    result: |_| Value::Null,
};

fn regret() -> (Value, Value, Value) {
    let nodes = json!([
        pays_back("reserve", Idempotent, &[]),
        pays_back("charge", Irreversible, &["reserve"]),
        {
            "id": "refused", "type": "agent", "agent": "refuser", "effect": "pure", "needs": ["charge"],
            "input": { "retryable": false },
        },
    ]);
    (nodes, json!([]), json!({}))
}

/// What every run is given.
pub(crate) fn input() -> Value {
    json!({ "items": ["a", "b", "c"] })
}
