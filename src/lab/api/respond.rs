//! Answers as HTTP responses.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, SizeHint};
use serde_json::Value;

use super::status::ApiError;

/// The body of every response. A stream that must break off ends early, which
/// a client sees as a chunked body without its end.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A JSON document.
pub fn json(code: StatusCode, value: &Value) -> Response<Body> {
    written(code, Bytes::from(value.to_string()))
}

/// A JSON document that is written out already.
pub fn written(code: StatusCode, json: Bytes) -> Response<Body> {
    typed(code, "application/json", json)
}

/// A refusal.
pub fn error(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code, &error.status());
    let seconds = error.details.as_ref().map(|it| &it["retryAfterSeconds"]);
    if let Some(seconds) = seconds.and_then(Value::as_u64) {
        let seconds = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if error.code == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"aks-tui lab\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A document of some media type.
pub fn typed(code: StatusCode, media_type: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(text.into()).map_err(infallible).boxed_unsync();
    with_type(code, media_type, body)
}

/// A body that is written as it comes to be.
pub fn stream(
    media_type: &'static str,
    chunks: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Response<Body> {
    let body = StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))).boxed_unsync();
    with_type(StatusCode::OK, media_type, body)
}

/// The same response, with something that is held until it is sent or given up.
pub fn holding<T: Send + Unpin + 'static>(response: Response<Body>, held: T) -> Response<Body> {
    response.map(|body| Holding { body, _held: held }.boxed_unsync())
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> hyper::body::Body for Holding<T> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An empty body.
pub fn empty(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().map_err(infallible).boxed_unsync());
    *response.status_mut() = code;
    response
}

fn with_type(code: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

fn infallible(never: Infallible) -> std::io::Error {
    match never {}
}
