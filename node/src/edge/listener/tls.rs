//! TLS from PEM files: version 1.3 and nothing older.

use std::{path::Path, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        version::TLS13,
    },
};

use crate::edge::{EdgeError, config::TlsFiles};

/// Reads certificate and key.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, EdgeError> {
    let unusable = |path: &Path, reason: String| EdgeError::Tls {
        path: path.to_owned(),
        reason,
    };
    let cert = |error: &dyn ToString| unusable(&files.cert, error.to_string());
    let key = |error: &dyn ToString| unusable(&files.key, error.to_string());
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| cert(&error))?;
    if chain.is_empty() {
        return Err(cert(&"it holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| key(&error))?;
    // The provider is named, not found: two of them in one build would make rustls panic.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| cert(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| key(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
