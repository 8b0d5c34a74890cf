//! The cluster's own certificate authority.

use std::{fmt, path::Path, time::Duration};

use protocol::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use uuid::Uuid;

use super::{Fingerprint, IdentityError, SERVER_NAME, Subject, credential, is_name};

/// How long an authority lasts.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long before they are issued certificates hold already, for clocks that lag.
const LEEWAY: Duration = Duration::from_secs(5 * 60);

const FILE: &str = "authority.pem";

/// Issues the certificates of one cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    fingerprint: Fingerprint,
}

impl Authority {
    /// Makes the authority of a new cluster.
    ///
    /// # Errors
    ///
    /// When the machine cannot make a key.
    pub fn create(cluster: Uuid, now: Timestamp) -> Result<Self, IdentityError> {
        let mut params = CertificateParams::default();
        lasting(&mut params, now, LIFE);
        // The cluster stands in the name: a certificate of another cluster has an unknown issuer.
        params.distinguished_name = called(&format!("Troupe cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Self::from_pem(&made.pem(), &made.key().serialize_pem())
    }

    /// Reads an authority.
    ///
    /// # Errors
    ///
    /// When either is no PEM, or the key is another's.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let (certificate, certificate_pem) =
            credential::certificate("the cluster's certificate", certificate)?;
        let unreadable = |reason: rcgen::Error| IdentityError::Unreadable {
            what: "the cluster's key",
            reason: reason.to_string(),
        };
        let key = KeyPair::from_pem(credential::key("the cluster's key", key)?);
        let key = key.map_err(unreadable)?;
        let public = credential::parsed(&certificate)?.public_key().raw.to_vec();
        if public != key.subject_public_key_info() {
            let reason = "the cluster's key and its certificate do not belong together";
            return Err(IdentityError::Unusable(reason.to_owned()));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            issuer,
            certificate_pem,
            fingerprint: Fingerprint::of(&certificate),
        })
    }

    /// Reads what [`Authority::save`] wrote.
    ///
    /// # Errors
    ///
    /// When it is not there or not whole.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let text = credential::read(&folder.join(FILE))?;
        Self::from_pem(&text, &text)
    }

    /// Writes certificate and key where only this user reads them.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        let text = self.key_pem() + &self.certificate_pem;
        credential::write(&folder.join(FILE), &text)
    }

    /// Its certificate, which nodes trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its key, which only nodes that own entities hold.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// What join tokens carry, so that a machine knows the cluster that it joins.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Issues a certificate for the key that signed `csr`, in PEM both. What the request asks
    /// beyond its key does not count.
    ///
    /// # Errors
    ///
    /// When the request's signature does not hold, or the name cannot be carried.
    pub fn issue(
        &self,
        csr: &str,
        subject: &Subject,
        life: Duration,
        now: Timestamp,
    ) -> Result<String, IdentityError> {
        if !is_name(&subject.name) {
            return Err(IdentityError::BadName(subject.name.clone()));
        }
        let mut request = request(csr)?;
        request.params = leaf(subject, life, now)?;
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

/// Reads a request and checks its signature.
///
/// # Errors
///
/// When it does not hold.
pub(in crate::cluster) fn request(
    csr: &str,
) -> Result<CertificateSigningRequestParams, IdentityError> {
    CertificateSigningRequestParams::from_pem(csr).map_err(|_| IdentityError::BadRequest)
}

fn leaf(
    subject: &Subject,
    life: Duration,
    now: Timestamp,
) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    lasting(&mut params, now, life);
    params.distinguished_name = called(&subject.name);
    params.subject_alt_names = vec![
        SanType::DnsName(SERVER_NAME.try_into()?),
        SanType::URI(subject.uri().as_str().try_into()?),
    ];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn called(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn lasting(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = now.since(Timestamp::default());
    params.not_before = epoch + now.saturating_sub(LEEWAY);
    params.not_after = epoch + now.saturating_add(life);
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.fingerprint())
    }
}
