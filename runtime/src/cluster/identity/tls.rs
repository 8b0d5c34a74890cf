//! TLS between nodes: version 1.3, and both ends show a certificate of the cluster.

use std::sync::Arc;

use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, ConfigSide, RootCertStore, ServerConfig, WantsVerifier,
    WantsVersions,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    version::TLS13,
};

use super::IdentityError;

/// What two nodes speak; the dialler shows a certificate.
pub(in crate::cluster) const MESH: &[u8] = b"troupe-mesh/1";

/// What a machine with a token speaks; it has no certificate yet.
pub(in crate::cluster) const JOIN: &[u8] = b"troupe-join/1";

/// The name in every certificate; who a node is, its subject says.
pub(in crate::cluster) const SERVER_NAME: &str = "node.troupe.internal";

fn unusable(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Unusable(error.to_string())
}

/// The provider is named, not found: two of them in one build would make rustls panic.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(super) fn modern<S: ConfigSide>(
    builder: ConfigBuilder<S, WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>, IdentityError> {
    builder.with_protocol_versions(&[&TLS13]).map_err(unusable)
}

/// A resumed session would show no certificate, so none is resumed.
pub(super) fn speak(config: &mut ClientConfig, protocol: &[u8]) {
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
}

/// What one node holds, for TLS.
pub(super) struct Held<'a> {
    pub(super) key: &'a PrivateKeyDer<'static>,
    pub(super) certificate: &'a CertificateDer<'static>,
    pub(super) authority: &'a CertificateDer<'static>,
}

impl Held<'_> {
    fn roots(&self) -> Result<Arc<RootCertStore>, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).map_err(unusable)?;
        Ok(Arc::new(roots))
    }

    /// Whether a dialler without a certificate is a machine that may join is told by ALPN, after
    /// the handshake. The authority is shown too, for whoever knows only its fingerprint.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider())
            .allow_unauthenticated()
            .build()
            .map_err(unusable)?;
        let chain = vec![self.certificate.clone(), self.authority.clone()];
        let mut config = modern(ServerConfig::builder_with_provider(provider()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, self.key.clone_key())
            .map_err(unusable)?;
        config.alpn_protocols = vec![MESH.to_vec(), JOIN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, IdentityError> {
        let mut config = modern(ClientConfig::builder_with_provider(provider()))?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(unusable)?;
        speak(&mut config, MESH);
        Ok(Arc::new(config))
    }
}

/// Whether `authority` issued `certificate`, whatever the time is now.
pub(super) fn check_issued(
    held: &Held<'_>,
    at: tokio_rustls::rustls::pki_types::UnixTime,
) -> Result<(), IdentityError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(held.roots()?, provider())
        .build()
        .map_err(unusable)?;
    verifier
        .verify_client_cert(held.certificate, &[], at)
        .map_err(unusable)?;
    Ok(())
}
