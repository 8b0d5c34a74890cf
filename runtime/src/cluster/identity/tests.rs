//! Certificates as they are issued, kept and refused.

use std::time::Duration;

use protocol::{
    member::{NodeRole, Roles},
    time::Timestamp,
};
use uuid::Uuid;

use super::{Authority, Identity, IdentityError, Subject};
use crate::clock::Clock;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Timestamp {
    Clock::system().now()
}

fn subject(name: &str) -> Subject {
    Subject {
        cluster: Uuid::from_u128(7),
        identity: Uuid::from_u128(8),
        name: name.to_owned(),
        roles: Roles::from_iter([NodeRole::Worker]),
    }
}

fn authority() -> Authority {
    Authority::create(Uuid::from_u128(7), now()).unwrap()
}

#[test]
fn an_identity_says_what_the_authority_granted_and_not_what_was_asked() {
    let authority = authority();
    let request = Identity::request("asked").unwrap();
    let granted = subject("granted");
    let certificate = authority.issue(&request.csr, &granted, DAY, now()).unwrap();
    let identity = Identity::new(&request.key, &certificate, authority.certificate_pem()).unwrap();
    assert_eq!(identity.subject(), &granted);
    assert_eq!(identity.authority(), authority.fingerprint());
    let left = identity.not_after().since(now());
    assert!(
        left > DAY - Duration::from_secs(60) && left <= DAY,
        "{left:?}"
    );
}

#[test]
fn a_request_that_its_own_key_did_not_sign_is_refused() {
    let authority = authority();
    let request = Identity::request("n1").unwrap();
    let mut lines: Vec<_> = request.csr.lines().map(str::to_owned).collect();
    // The last full line lies within the signature.
    let line = lines.len() - 3;
    let turned: String = lines[line].chars().rev().collect();
    lines[line] = turned;
    let issued = authority.issue(&lines.join("\n"), &subject("n1"), DAY, now());
    assert!(
        matches!(issued, Err(IdentityError::BadRequest)),
        "{issued:?}"
    );
    let issued = authority.issue("no PEM", &subject("n1"), DAY, now());
    assert!(
        matches!(issued, Err(IdentityError::BadRequest)),
        "{issued:?}"
    );
}

#[test]
fn a_name_that_would_change_the_subject_is_refused() {
    let request = Identity::request("n1").unwrap();
    for name in ["", "a/b", "a?roles=control", "a b", "ä"] {
        let issued = authority().issue(&request.csr, &subject(name), DAY, now());
        assert!(matches!(issued, Err(IdentityError::BadName(_))), "{name}");
        assert!(Identity::request(name).is_err(), "{name}");
    }
}

#[test]
fn parts_that_do_not_belong_together_make_no_identity() {
    let (authority, foreign) = (authority(), authority());
    let (one, other) = (
        Identity::request("n1").unwrap(),
        Identity::request("n1").unwrap(),
    );
    let certificate = authority
        .issue(&one.csr, &subject("n1"), DAY, now())
        .unwrap();
    assert!(Identity::new(&other.key, &certificate, authority.certificate_pem()).is_err());
    assert!(Identity::new(&one.key, &certificate, foreign.certificate_pem()).is_err());
    assert!(Authority::from_pem(authority.certificate_pem(), &foreign.key_pem()).is_err());
}

#[test]
fn both_are_read_back_from_files_that_only_their_user_reads() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let authority = authority();
    let request = Identity::request("n1").unwrap();
    let certificate = authority
        .issue(&request.csr, &subject("n1"), DAY, now())
        .unwrap();
    let identity = Identity::new(&request.key, &certificate, authority.certificate_pem()).unwrap();
    // Twice: the second replaces the first.
    for _ in 0..2 {
        authority.save(folder.path()).unwrap();
        identity.save(folder.path()).unwrap();
    }
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let read = Authority::load(folder.path()).unwrap();
    assert_eq!(read.fingerprint(), authority.fingerprint());
    assert!(read.issue(&request.csr, &subject("n2"), DAY, now()).is_ok());
    let read = Identity::load(folder.path()).unwrap();
    assert_eq!(read.subject(), identity.subject());
    assert_eq!(read.authority(), authority.fingerprint());
}

#[test]
fn an_expired_certificate_is_read_and_says_so() {
    let long_ago = Timestamp::from_micros(now().as_micros() - 3 * 86_400_000_000);
    let authority = Authority::create(Uuid::from_u128(7), long_ago).unwrap();
    let request = Identity::request("n1").unwrap();
    let certificate = authority
        .issue(&request.csr, &subject("n1"), DAY, long_ago)
        .unwrap();
    let identity = Identity::new(&request.key, &certificate, authority.certificate_pem()).unwrap();
    assert!(identity.not_after() < now());
}
