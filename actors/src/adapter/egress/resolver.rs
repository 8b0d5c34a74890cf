//! Looks a host up, and lets only checked addresses out.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use super::{Refusal, Target};

/// Why a host has no address that may be called.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// Nobody knows it.
    #[error("`{host}` could not be looked up: {error}")]
    Unknown { host: String, error: std::io::Error },
    /// It may not be called.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// All addresses of a target; one that may not be called spoils all.
pub(crate) async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, LookupError> {
    let found: Vec<SocketAddr> = match &target.host {
        Host::Ipv4(address) => vec![(*address, target.port).into()],
        Host::Ipv6(address) => vec![(*address, target.port).into()],
        Host::Domain(name) => tokio::net::lookup_host((name.as_str(), target.port))
            .await
            .map_err(|error| LookupError::Unknown {
                host: name.clone(),
                error,
            })?
            .collect(),
    };
    for address in &found {
        target.permit(address.ip())?;
    }
    Ok(found)
}

/// Looks hosts up for one target's connections.
#[derive(Debug)]
pub(crate) struct Resolver(pub(crate) Target);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let target = self.0.clone();
        Box::pin(async move {
            debug_assert_eq!(target.host.to_string(), name.as_str());
            let found = addresses(&target).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
