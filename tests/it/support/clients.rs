//! Clients that record, outside the database, each id before it is sent and the time of its 200.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::delivery::Delivery;
use super::inbox::Inbox;
use super::running::Running;
use super::wire::Wire;
use super::{github, running};

#[derive(Debug, Default)]
pub struct Clients {
    /// Microseconds since 1970 at which the 200 arrived, by id.
    ledger: Mutex<BTreeMap<String, Option<u64>>>,
}

impl Clients {
    /// Records an id before it is sent.
    pub fn note(&self, id: &str) {
        self.ledger.lock().unwrap().entry(id.to_owned()).or_default();
    }

    /// Records its 200.
    pub fn acknowledge(&self, id: &str) {
        self.ledger.lock().unwrap().insert(id.to_owned(), Some(now()));
    }

    /// Sends a delivery; returns its status, or `None` without a response.
    pub fn send(&self, hookbox: &Running, delivery: &Delivery) -> Option<u16> {
        self.note(&delivery.id);
        let status = hookbox.try_send(delivery).ok()?.status;
        if status == 200 {
            self.acknowledge(&delivery.id);
        }
        Some(status)
    }

    /// Sends new events over four connections while `work` runs.
    pub fn under_load<T>(&self, address: SocketAddr, work: impl FnOnce() -> T) -> T {
        self.under_load_of(github::push, address, work)
    }

    /// Sends deliveries made by `make` over four connections while `work` runs.
    pub fn under_load_of<T>(
        &self,
        make: impl Fn() -> Delivery + Sync,
        address: SocketAddr,
        work: impl FnOnce() -> T,
    ) -> T {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        if self.send_over(&make, address, &over).is_err() {
                            break;
                        }
                    }
                });
            }
            let _over = running::AtEnd(|| over.store(true, Ordering::Relaxed));
            work()
        })
    }

    fn send_over(&self, make: &impl Fn() -> Delivery, address: SocketAddr, over: &AtomicBool) -> std::io::Result<()> {
        let mut wire = Wire::open(address)?;
        while !over.load(Ordering::Relaxed) {
            let delivery = make();
            self.note(&delivery.id);
            let request = delivery.render();
            let reply = wire.exchange("POST", &request.path, &request.headers, &request.body)?;
            match reply.status {
                200 => self.acknowledge(&delivery.id),
                status => assert_eq!(status, 503, "{}", reply.text()),
            }
        }
        Ok(())
    }

    /// Acknowledged ids.
    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged_before(u64::MAX)
    }

    /// Ids whose 200 arrived before this time, in microseconds since 1970.
    pub fn acknowledged_before(&self, moment: u64) -> BTreeSet<String> {
        let ledger = self.ledger.lock().unwrap();
        let is_in_time = |at: &Option<u64>| at.is_some_and(|at| at < moment);
        ledger.iter().filter(|(_, at)| is_in_time(at)).map(|(id, _)| id.clone()).collect()
    }

    /// Deliveries that were sent and never acknowledged, as the provider would resend them.
    pub fn unclear(&self) -> Vec<Delivery> {
        let ledger = self.ledger.lock().unwrap();
        ledger.iter().filter(|(_, at)| at.is_none()).map(|(id, _)| github::push().with_id(id)).collect()
    }

    /// Acknowledged ids that are not in the inbox.
    pub fn missing(&self, inbox: &Inbox) -> BTreeSet<String> {
        let stored: BTreeSet<String> = inbox.texts("SELECT event_id FROM events").into_iter().collect();
        self.acknowledged().difference(&stored).cloned().collect()
    }

    /// Panics unless every acknowledged id has exactly one row and the file is intact.
    pub fn assert_kept(&self, inbox: &Inbox) {
        inbox.assert_sound();
        assert_eq!(self.missing(inbox), BTreeSet::new(), "acknowledged and lost");
        assert_eq!(inbox.number("SELECT count(*) - count(DISTINCT source || '/' || event_id) FROM events"), 0);
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
