//! Files that steps left, streamed from wherever they lie.

use actors::{Rejection, adapter::ArtifactId};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
};
use protocol::{access::Caller, id::TaskId};
use warp::Reply;

use super::{answer::Answer, problem::Refused, shared::Shared};

pub(super) async fn serve(
    shared: &Shared,
    caller: &Caller,
    task: TaskId,
    parts: &[String],
) -> Result<Answer, Refused> {
    let [_, step, attempt, name] = parts else {
        return Err(Refused::bug());
    };
    // Only as it is written are attempts numbered: `01` names none.
    let attempt = attempt
        .parse()
        .ok()
        .filter(|number: &u32| number.to_string() == *attempt)
        .ok_or_else(|| Refused::not_found("this artifact"))?;
    let id = ArtifactId {
        task,
        step: step.clone(),
        attempt,
        name: name.clone(),
    };
    let orchestrator = &shared.orchestrator;
    let artifact = orchestrator.artifact(caller, id, &shared.data_dir).await;
    let artifact = artifact.map_err(gone)?;
    let mut response = warp::reply::stream(artifact.pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(artifact.length));
    headers.insert(CONTENT_DISPOSITION, disposition(name));
    Ok(Answer::Streamed(response))
}

/// A file whose node is gone is gone too, as far as HTTP has a word for it.
fn gone(rejection: Rejection) -> Refused {
    match &rejection {
        Rejection::Conflict {
            code: "node_gone",
            message,
        } => Refused::new(StatusCode::GONE, "node_gone", message.clone()),
        Rejection::NotFound { .. }
        | Rejection::Invalid { .. }
        | Rejection::Conflict { .. }
        | Rejection::Preceded { .. }
        | Rejection::Forbidden { .. }
        | Rejection::Overloaded { .. }
        | Rejection::Unavailable { .. } => rejection.into(),
    }
}

/// To be saved under its name, whatever letters that has.
fn disposition(name: &str) -> HeaderValue {
    use std::fmt::Write;
    let mut value = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            value.push(char::from(byte));
        } else {
            let _ = write!(value, "%{byte:02X}");
        }
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_its_header() {
        assert_eq!(
            disposition("a\"\r\nX: ä.md"),
            "attachment; filename*=UTF-8''a%22%0D%0AX%3A%20%C3%A4.md"
        );
    }
}
