//! Exchanges hellos on a fresh stream, and tells the other end why when it comes to nothing.

use std::io;

use protocol::wire::hello::{Greeting, Hello};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    fault::{DialError, diagnose},
    framing::{self, GREETING},
};
use crate::{
    clock::Clock,
    cluster::{
        hello::{Accord, agree},
        identity::Subject,
    },
};

/// Why two nodes that met do not talk.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwelcome {
    /// One of them refused; the words name both.
    #[error("{0}")]
    Refused(String),
    /// The node that was dialled is the one to dial.
    #[error("{0}")]
    Awaited(String),
    #[error("the connection ended during the greeting")]
    Broken(#[from] io::Error),
}

impl Unwelcome {
    /// The same for whoever dialled, or was dialled from, `address`.
    pub(super) fn at(self, address: String) -> DialError {
        match self {
            Self::Refused(reason) => DialError::Refused { address, reason },
            Self::Awaited(reason) => DialError::Awaited { address, reason },
            Self::Broken(error) => diagnose(&address, &error),
        }
    }
}

/// Judges a node that agrees with this one otherwise.
pub(super) type Judge<'a> = &'a (dyn Fn(&Hello, &Subject) -> Result<(), String> + Send + Sync);

/// Both ends say hello, each judges the other's, and each hears the other's verdict.
pub(super) async fn exchange<S>(
    stream: &mut S,
    own: &Hello,
    certified: &Subject,
    clock: &Clock,
    judge: Judge<'_>,
) -> Result<(Hello, Accord), Unwelcome>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    framing::send(stream, &Greeting::Hello(Box::new(own.clone()))).await?;
    let other = match framing::receive(stream, GREETING).await? {
        Greeting::Hello(other) => *other,
        Greeting::Refused(reason) => return Err(Unwelcome::Refused(one_line(&reason))),
        Greeting::Welcome => return Err(out_of_turn()),
    };
    let judged = agree(own, &other, certified, clock.now())
        .map_err(|discord| discord.to_string())
        .and_then(|accord| judge(&other, certified).map(|()| accord));
    match judged {
        Ok(accord) => {
            framing::send(stream, &Greeting::Welcome).await?;
            match framing::receive(stream, GREETING).await? {
                Greeting::Welcome => Ok((other, accord)),
                Greeting::Refused(reason) => Err(Unwelcome::Refused(one_line(&reason))),
                Greeting::Hello(_) => Err(out_of_turn()),
            }
        }
        Err(reason) => {
            framing::send(stream, &Greeting::Refused(reason.clone())).await?;
            Err(Unwelcome::Refused(reason))
        }
    }
}

fn out_of_turn() -> Unwelcome {
    let error = io::Error::new(io::ErrorKind::InvalidData, "a greeting out of turn");
    Unwelcome::Broken(error)
}

/// What another node wrote goes to logs and terminals.
pub(in crate::cluster) fn one_line(text: &str) -> String {
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(500).map(plain).collect()
}
