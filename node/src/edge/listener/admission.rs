//! How many connections are open, in all and from each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts connections.
#[derive(Debug)]
pub(super) struct Admission {
    room: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

impl Addresses {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    _room: Option<OwnedSemaphorePermit>,
    address: Option<(Arc<Addresses>, IpAddr)>,
}

impl Admission {
    pub(super) fn new(connections: usize, per_address: usize) -> Self {
        let connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(connections)),
            addresses: Arc::default(),
            per_address,
        }
    }

    /// Waits until one more connection fits; until then new ones wait in the system's queue.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.room.clone().acquire_owned().await.ok()
    }

    /// Counts a connection, unless its address has its share. The loopback has no share: what
    /// comes from this machine is not a stranger.
    pub(super) fn admit(&self, room: Option<OwnedSemaphorePermit>, from: IpAddr) -> Option<Ticket> {
        let from = owner(from);
        if from.is_loopback() {
            return Some(Ticket {
                _room: room,
                address: None,
            });
        }
        let mut counts = self.addresses.lock();
        let count = counts.entry(from).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Ticket {
            _room: room,
            address: Some((self.addresses.clone(), from)),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some((addresses, from)) = self.address.take() else {
            return;
        };
        let mut counts = addresses.lock();
        if let Some(count) = counts.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&from);
            }
        }
    }
}

/// Who an address belongs to: one subscriber has a whole /64 of IPv6.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admit(admission: &Admission, from: &str) -> Option<Ticket> {
        let room = admission.room().await;
        admission.admit(room, from.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let admission = Admission::new(100, 2);
        let first = admit(&admission, "10.0.0.1").await;
        let second = admit(&admission, "::ffff:10.0.0.1").await;
        assert!(first.is_some() && second.is_some());
        assert!(admit(&admission, "10.0.0.1").await.is_none());
        assert!(admit(&admission, "10.0.0.2").await.is_some());
        drop(first);
        assert!(admit(&admission, "10.0.0.1").await.is_some());
        drop(second);
        assert!(admission.addresses.lock().is_empty());
    }

    #[tokio::test]
    async fn neighbours_in_ipv6_share_and_the_loopback_does_not_count() {
        let admission = Admission::new(100, 1);
        let _one = admit(&admission, "2001:db8::1").await.unwrap();
        assert!(admit(&admission, "2001:db8::2").await.is_none());
        let _local = [
            admit(&admission, "127.0.0.1").await.unwrap(),
            admit(&admission, "127.0.0.1").await.unwrap(),
        ];
        let _local6 = [
            admit(&admission, "::1").await.unwrap(),
            admit(&admission, "::1").await.unwrap(),
        ];
    }

    #[tokio::test]
    async fn nobody_is_admitted_without_room() {
        let admission = Admission::new(1, 1);
        let one = admit(&admission, "127.0.0.1").await;
        assert_eq!(admission.room.available_permits(), 0);
        drop(one);
        assert_eq!(admission.room.available_permits(), 1);
    }
}
