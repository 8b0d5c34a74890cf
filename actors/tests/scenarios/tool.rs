//! A tool whose every call waits for the test.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actors::adapter::{Adapter, Answer, Call, CallError, Probe};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::support::within;

/// Counts what is asked of it; answers when it is let go.
#[derive(Debug)]
pub(crate) struct Tool {
    permits: Semaphore,
    healthy: AtomicBool,
    finding: Mutex<Probe>,
    answer: Mutex<Option<Value>>,
    calls: Mutex<Vec<Call>>,
    begun: watch::Sender<usize>,
    running: AtomicUsize,
    most: AtomicUsize,
    cancelled: watch::Sender<usize>,
    probes: watch::Sender<usize>,
}

impl Default for Tool {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(0),
            healthy: AtomicBool::new(true),
            finding: Mutex::new(Probe::Unknown("not told".to_owned())),
            answer: Mutex::default(),
            calls: Mutex::default(),
            begun: watch::Sender::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            cancelled: watch::Sender::default(),
            probes: watch::Sender::default(),
        }
    }
}

impl Tool {
    /// Lets so many calls end well, those that run first.
    pub(crate) fn release(&self, count: usize) {
        self.permits.add_permits(count);
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::SeqCst);
    }

    pub(crate) fn set_finding(&self, finding: Probe) {
        *self.finding.lock().unwrap() = finding;
    }

    /// What every call answers from now on.
    pub(crate) fn answer(&self, answer: Value) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    /// Descriptions of the tasks that called, in order.
    pub(crate) fn called_for(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .map(|call| call.description.to_string())
            .collect()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The most calls that ran at the same time.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn begun(&self) -> usize {
        *self.begun.borrow()
    }

    /// When it was called so often.
    pub(crate) async fn is_called(&self, times: usize) {
        let mut begun = self.begun.subscribe();
        within(begun.wait_for(|count| *count >= times))
            .await
            .unwrap();
    }

    /// When so many calls were stopped.
    pub(crate) async fn is_stopped(&self, times: usize) {
        let mut stopped = self.cancelled.subscribe();
        within(stopped.wait_for(|count| *count >= times))
            .await
            .unwrap();
    }

    /// Calls that were stopped.
    pub(crate) fn stopped(&self) -> usize {
        *self.cancelled.borrow()
    }

    pub(crate) fn probes(&self) -> usize {
        *self.probes.borrow()
    }
}

impl Adapter for Tool {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Result<Value, CallError>> {
        Box::pin(async move {
            self.calls.lock().unwrap().push(call.clone());
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            self.begun.send_modify(|count| *count += 1);
            let answer = tokio::select! {
                () = cancel.cancelled() => {
                    self.cancelled.send_modify(|count| *count += 1);
                    Err(CallError::Cancelled)
                }
                permit = self.permits.acquire() => {
                    permit.unwrap().forget();
                    let told = self.answer.lock().unwrap().clone();
                    Ok(told.unwrap_or_else(|| json!({ "did": call.step })))
                }
            };
            self.running.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    }

    fn probe<'a>(&'a self, _: &'a Call) -> Answer<'a, Probe> {
        self.probes.send_modify(|count| *count += 1);
        let finding = self.finding.lock().unwrap().clone();
        Box::pin(std::future::ready(finding))
    }

    fn check(&self, _: Duration) -> Answer<'_, Result<String, String>> {
        let healthy = self.healthy.load(Ordering::SeqCst);
        Box::pin(std::future::ready(if healthy {
            Ok("as told".to_owned())
        } else {
            Err("told to be ill".to_owned())
        }))
    }
}
