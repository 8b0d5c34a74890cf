//! A person who answers questions of workflows, after a look into the till's book.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{process::Client, till::Till};

/// What it was asked so far.
#[derive(Debug, Default)]
pub(crate) struct Clerk {
    /// Questions about calls whose outcome nobody knew.
    pub(crate) unknown: BTreeSet<String>,
    /// Those of them whose call had come to the till.
    pub(crate) effective: BTreeSet<String>,
    /// Other questions.
    pub(crate) others: BTreeSet<String>,
}

impl Clerk {
    /// Answers every open question, and says how many answers were taken.
    ///
    /// # Errors
    ///
    /// When the node is gone. An answer on its way may have been taken.
    pub(crate) async fn answer_all(
        &mut self,
        client: &Client,
        till: &Till,
    ) -> reqwest::Result<usize> {
        let mut taken = 0;
        for id in open_questions(client).await? {
            let place = format!("/api/v1/questions/{id}");
            let seen = client.get(&place).await?;
            // Who is asked may be moving to another node just now.
            if seen.status != 200 {
                continue;
            }
            let answer = self.answer_to(&id, &seen.body, till);
            let body = json!({ "answer": answer });
            let told = client.post(&format!("{place}/answer"), &body).await?;
            match told.status {
                200 => taken += 1,
                // Taken before, and the one who was told is gone; or not to be had right now.
                409 | 429 | 503 => {}
                _ => panic!("{seen:?}\n{told:?}"),
            }
        }
        Ok(taken)
    }

    /// The truth.
    fn answer_to(&mut self, id: &str, question: &Value, till: &Till) -> Value {
        let Some(step) = question["about"]["step"].as_str() else {
            self.others.insert(id.to_owned());
            return json!({ "ok": true });
        };
        self.unknown.insert(id.to_owned());
        let task = question["task"].as_str().unwrap();
        match till.knows(task, step) {
            Some(payment) => {
                self.effective.insert(id.to_owned());
                json!({ "took_effect": true, "output": payment.receipt })
            }
            None => json!({ "took_effect": false }),
        }
    }
}

/// The ids of all questions that nobody answered yet.
pub(crate) async fn open_questions(client: &Client) -> reqwest::Result<Vec<String>> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/questions?status=open&limit=200{cursor}");
        let page = client.get(&path).await?;
        for item in page.body["items"].as_array().into_iter().flatten() {
            ids.push(item["id"].as_str().unwrap().to_owned());
        }
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}
