//! Blobs that are reached by a signed address: the sources of builds, and what
//! builds say. No token is asked for; the signature is what opens.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use ring::hmac;

use super::answer::{Answer, ArmError, Payload};
use super::call::Call;
use super::registry;
use super::world::World;

/// The version of the protocol of blobs.
const VERSION: &str = "2021-08-06";

/// An address that opens a path.
pub fn signed(world: &World, base: &str, path: &str) -> String {
    format!(
        "{base}{path}?sv={VERSION}&sr=b&sp=racw&sig={}",
        signature(world, path)
    )
}

fn signature(world: &World, path: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, world.account.key.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, path.as_bytes()))
}

/// What blobs answer when they refuse: XML.
fn refusal(status: StatusCode, code: &'static str, message: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Answer {
        status,
        payload: Payload::Bytes("application/xml", text.into_bytes()),
        headers: Vec::new(),
    }
    .with("x-ms-error-code", code)
}

fn check(world: &World, call: &Call) -> Option<Answer> {
    (call.query("sig") != signature(world, &call.path)).then(|| {
        refusal(
            StatusCode::FORBIDDEN,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
        )
    })
}

/// Where a source is kept.
fn file(world: &World, relative: &str) -> Option<PathBuf> {
    let name = relative
        .rsplit('/')
        .next()
        .filter(|it| !it.is_empty() && !it.starts_with('.'))?;
    Some(world.directory()?.join("sources").join(name))
}

/// `PUT` of a source.
pub fn put(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    if let Some(refused) = check(world, call) {
        return Ok(refused);
    }
    if call.header("x-ms-blob-type") != "BlockBlob" {
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "MissingRequiredHeader",
            "An HTTP header that's mandatory for this request is not specified: x-ms-blob-type must be BlockBlob.",
        ));
    }
    let written = file(world, &call.path).is_some_and(|file| {
        let directory = file.parent().map(fs::create_dir_all);
        directory.is_some_and(|it| it.is_ok()) && fs::write(file, &call.raw).is_ok()
    });
    if !written {
        return Ok(refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "The blob cannot be written.",
        ));
    }
    Ok(Answer::empty(StatusCode::CREATED)
        .with("etag", format!("\"0x{:X}\"", fastrand::u64(..)))
        .with("x-ms-version", VERSION))
}

/// A source that was uploaded.
pub fn read(world: &World, relative: &str) -> Option<Vec<u8>> {
    fs::read(file(world, relative)?).ok()
}

/// `GET` and `HEAD` of what a build says, or of a part of it.
pub fn log(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    if let Some(refused) = check(world, call) {
        return Ok(refused);
    }
    let Some((text, complete)) = registry::log(world, call.arg("registry"), call.arg("run")) else {
        return Ok(refusal(
            StatusCode::NOT_FOUND,
            "BlobNotFound",
            "The specified blob does not exist.",
        ));
    };
    let bytes = text.into_bytes();
    let size = bytes.len();
    let range = call.header("x-ms-range");
    let range = if range.is_empty() {
        call.header("range")
    } else {
        range
    };
    let (from, to) = match bounds(range) {
        Some((from, _)) if from >= size => {
            return Ok(refusal(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                "The range specified is invalid for the current size of the resource.",
            )
            .with("content-range", format!("bytes */{size}")));
        }
        Some((from, to)) => (from, to.map_or(size, |it| (it + 1).min(size)).max(from)),
        None => (0, size),
    };
    let part = if call.method == Method::HEAD {
        Vec::new()
    } else {
        bytes[from..to].to_vec()
    };
    let mut answer = Answer {
        status: if range.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::PARTIAL_CONTENT
        },
        payload: Payload::Bytes("text/plain; charset=utf-8", part),
        headers: Vec::new(),
    }
    .with("x-ms-blob-type", "AppendBlob")
    .with("x-ms-version", VERSION)
    .with("accept-ranges", "bytes")
    .with("etag", format!("\"0x{size:X}\""));
    if call.method == Method::HEAD {
        answer = answer.with("content-length", (to - from).to_string());
    }
    if !range.is_empty() {
        answer = answer.with(
            "content-range",
            format!("bytes {from}-{}/{size}", to.saturating_sub(1)),
        );
    }
    if complete {
        answer = answer.with("x-ms-meta-complete", "successful");
    }
    Ok(answer)
}

/// First and last byte of a range.
fn bounds(range: &str) -> Option<(usize, Option<usize>)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()))
}
