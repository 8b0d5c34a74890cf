//! What a node holds: its key, its certificate and the authority that it trusts.

use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use protocol::time::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::{
    ClientConfig, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::{Fingerprint, IdentityError, Subject, is_name, tls};

const FILE: &str = "identity.pem";

/// A node's key and certificate, with the authority that issued it. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    key_pem: String,
    certificate_pem: String,
    authority_pem: String,
    fingerprint: Fingerprint,
    subject: Subject,
    not_after: Timestamp,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// A new key, and the request to certify it.
pub struct Request {
    /// The key in PEM; it stays on the machine.
    pub key: String,
    /// The request in PEM, signed with the key.
    pub csr: String,
}

impl Identity {
    /// Makes a key and the request to certify it under `name`.
    ///
    /// # Errors
    ///
    /// When certificates cannot carry the name.
    pub fn request(name: &str) -> Result<Request, IdentityError> {
        if !is_name(name) {
            return Err(IdentityError::BadName(name.to_owned()));
        }
        let key = KeyPair::generate()?;
        let csr = CertificateParams::new(vec![name.to_owned()])?.serialize_request(&key)?;
        Ok(Request {
            key: key.serialize_pem(),
            csr: csr.pem()?,
        })
    }

    /// Puts together what belongs together, each in PEM.
    ///
    /// # Errors
    ///
    /// When the key is not the certificate's, or the authority did not issue it.
    pub fn new(key: &str, certificate: &str, authority: &str) -> Result<Self, IdentityError> {
        let key_pem = self::key("the node's key", key)?;
        let private = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|reason| unreadable("the node's key", reason))?;
        let (certificate, certificate_pem) =
            self::certificate("the node's certificate", certificate)?;
        let (authority, authority_pem) = self::certificate("the cluster's certificate", authority)?;
        let (subject, not_after) = named(&certificate)?;
        let held = tls::Held {
            key: &private,
            certificate: &certificate,
            authority: &authority,
        };
        // Issued, whether or not it holds still: an expired certificate is told from a foreign one.
        let held_last = not_after.since(Timestamp::default());
        let held_last =
            UnixTime::since_unix_epoch(held_last.saturating_sub(Duration::from_secs(1)));
        tls::check_issued(&held, held_last)?;
        let (server, client) = (held.server()?, held.client()?);
        Ok(Self(Arc::new(Inner {
            key_pem: lines(key_pem),
            certificate_pem,
            authority_pem,
            fingerprint: Fingerprint::of(&authority),
            subject,
            not_after,
            server,
            client,
        })))
    }

    /// Reads what [`Identity::save`] wrote.
    ///
    /// # Errors
    ///
    /// When it is not there or not whole.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let text = read(&folder.join(FILE))?;
        let authority = block(&text, "CERTIFICATE", 1).unwrap_or_default();
        Self::new(&text, &text, authority)
    }

    /// Writes all of it into one file that only this user reads.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        let text = self.0.key_pem.clone() + &self.0.certificate_pem + &self.0.authority_pem;
        write(&folder.join(FILE), &text)
    }

    /// Who it is.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// Until when others accept it.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// What identifies its cluster.
    #[must_use]
    pub fn authority(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.0.certificate_pem
    }

    /// The cluster's certificate in PEM.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.0.authority_pem
    }

    /// TLS for whom it accepts.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.0.server.clone()
    }

    /// TLS for whom it dials.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.0.client.clone()
    }
}

/// Who a certificate that TLS accepted belongs to.
pub(in crate::cluster) fn named(
    certificate: &CertificateDer<'_>,
) -> Result<(Subject, Timestamp), IdentityError> {
    let parsed = parsed(certificate)?;
    let nobody = || IdentityError::NoSubject("it has no subject alternative name".to_owned());
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = &names.ok_or_else(nobody)?.value.general_names;
    let uri = names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let subject = Subject::parse(uri.ok_or_else(nobody)?)?;
    let not_after = parsed.validity().not_after.timestamp();
    Ok((
        subject,
        Timestamp::from_micros(not_after.saturating_mul(1_000_000)),
    ))
}

pub(super) fn parsed<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, IdentityError> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) = parsed.map_err(|reason| unreadable("a certificate", reason))?;
    Ok(parsed)
}

/// A certificate and its PEM.
pub(super) fn certificate(
    what: &'static str,
    text: &str,
) -> Result<(CertificateDer<'static>, String), IdentityError> {
    let pem = block(text, "CERTIFICATE", 0).ok_or_else(|| unreadable(what, "it is no PEM"))?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    Ok((der.map_err(|reason| unreadable(what, reason))?, lines(pem)))
}

/// A private key's PEM.
pub(super) fn key<'a>(what: &'static str, text: &'a str) -> Result<&'a str, IdentityError> {
    block(text, "PRIVATE KEY", 0).ok_or_else(|| unreadable(what, "it is no PEM"))
}

/// The block of PEM with this label, the first or a later one.
pub(super) fn block<'a>(text: &'a str, label: &str, nth: usize) -> Option<&'a str> {
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let (start, _) = text.match_indices(&begin).nth(nth)?;
    let rest = text.get(start..)?;
    rest.get(..rest.find(&end)? + end.len())
}

fn lines(block: &str) -> String {
    block.to_owned() + "\n"
}

fn unreadable(what: &'static str, reason: impl fmt::Display) -> IdentityError {
    IdentityError::Unreadable {
        what,
        reason: reason.to_string(),
    }
}

pub(super) fn read(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|source| unusable_file(path, source))
}

/// Writes beside the file, then replaces it: a reader finds the old text or the new.
pub(super) fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    let beside = path.with_extension("new");
    let written = private(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| unusable_file(path, source))
}

fn private(path: &PathBuf) -> std::io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn unusable_file(path: &Path, source: std::io::Error) -> IdentityError {
    IdentityError::File {
        path: path.display().to_string(),
        source,
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({}, until {})",
            self.0.subject.uri(),
            self.0.not_after
        )
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}
