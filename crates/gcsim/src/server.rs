//! Receiving requests, striking them with faults, answering.
//!
//! Promises: listens on loopback only; a request is carried out in a task of its own, so that a client that goes away in the
//! middle changes nothing of what happens to it once its body is here; everything is counted.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::call::{Call, Reply};
use crate::faults::{Answer, Fault, Pause, Seen};
use crate::operation::{Api, Operation, Route};
use crate::refusal::Refusal;
use crate::rights::Who;
use crate::state::Shared;
use crate::xml::Asked;
use crate::{control, json, xml};

/// The connection is closed here, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
pub(crate) struct Cut;

type Body = UnsyncBoxBody<Bytes, Cut>;

/// Within a runtime, which it may block for a moment.
///
/// # Errors
/// The address is not loopback, or cannot be listened on.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let text = format!(
            "{address} is not a loopback address; gcsim checks no signatures and listens on no other"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // Out of descriptors, most likely: the next try may work.
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        drop(tokio::spawn(connection(stream, Arc::clone(&shared))));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // What it ends with is the client's to notice.
    stream.set_nodelay(true).unwrap_or_default();
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    served.await.unwrap_or_default();
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let read = Call::new(&parts).and_then(|call| Route::of(&call).map(|route| (call, route)));
    let (call, route) = match read {
        Ok(read) => read,
        Err(refusal) => return Ok(send(xml::refused(&refusal), &Fault::default())),
    };
    if call.path.starts_with("/_control/") {
        let (body, _) = receive(body, &Fault::default()).await;
        return Ok(send(control::answer(&shared, &call, &body), &Fault::default()));
    }
    let name = if route.name.is_empty() { call.asked("prefix").unwrap_or_default() } else { &route.name };
    let seen = Seen {
        operation: route.operation,
        method: call.method.as_str(),
        bucket: &route.bucket,
        name,
        token: call.token(),
    };
    let (rule, fault) = shared.faults.strike(&seen).unwrap_or_default();
    if fault.delay_ms > 0 {
        // Also a sleep of nothing waits for the next tick.
        sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let (body, whole) = receive(body, &fault).await;
    let (operation, bucket, bytes_in) = (route.operation, route.bucket.clone(), body.len());
    let request = Arrived { shared: Arc::clone(&shared), call, route, body, whole, rule, fault };
    let fault = request.fault.clone();
    let reply = request.answered().await;
    let (status, bytes_out) = reply.as_ref().map_or((0, 0), |reply| (reply.status, reply.body.len()));
    shared.counters.add(operation, &bucket, status, bytes_in, bytes_out);
    let mut reply = reply.ok_or(Cut)?;
    if !reply.headers.contains_key("date") {
        reply.set("date", &shared.clock.now().http_date());
    }
    Ok(send(reply, &fault))
}

/// The body, and whether it is all of it.
async fn receive(mut body: Incoming, fault: &Fault) -> (Bytes, bool) {
    let mut received = BytesMut::new();
    let cut = fault.cut_request_at.map(|at| usize::try_from(at).unwrap_or(usize::MAX));
    loop {
        if let Some(at) = cut.filter(|at| received.len() >= *at) {
            received.truncate(at);
            return (received.freeze(), false);
        }
        let frame = match body.frame().await {
            None => return (received.freeze(), cut.is_none()),
            Some(Err(_)) => return (received.freeze(), false),
            Some(Ok(frame)) => frame,
        };
        if let Ok(data) = frame.into_data() {
            pace(fault.request_bytes_per_second, data.len()).await;
            received.extend_from_slice(&data);
        }
    }
}

async fn pace(per_second: Option<u64>, bytes: usize) {
    if let Some(per_second) = per_second {
        let micros = (bytes as u64).saturating_mul(1_000_000) / per_second.max(1);
        sleep(Duration::from_micros(micros)).await;
    }
}

/// A request whose body is here.
struct Arrived {
    shared: Arc<Shared>,
    call: Call,
    route: Route,
    body: Bytes,
    whole: bool,
    rule: u64,
    fault: Fault,
}

impl Arrived {
    /// What the client is told; nothing: its connection is closed.
    async fn answered(self) -> Option<Reply> {
        let fault = self.fault.clone();
        let error = fault.answer.as_ref().map(|answer| refused(self.route.api, &refusal_of(answer)));
        if !self.whole {
            if self.route.operation == Operation::SessionPut {
                self.done().await;
            }
            return None;
        }
        if let Some(late) = fault.apply_late_ms {
            drop(tokio::spawn(async move {
                sleep(Duration::from_millis(late)).await;
                self.done().await
            }));
            return error;
        }
        if fault.lose_answer {
            self.detached().await;
            return error;
        }
        if error.is_some() {
            if fault.pause.is_some() {
                self.shared.faults.hold(self.rule).await;
            }
            return error;
        }
        self.detached().await
    }

    /// Carried out to its end even when the client goes away.
    async fn detached(self) -> Option<Reply> {
        tokio::spawn(self.done()).await.ok()
    }

    async fn done(self) -> Reply {
        let (rule, pause) = (self.rule, self.fault.pause);
        let shared = Arc::clone(&self.shared);
        if pause == Some(Pause::Before) {
            shared.faults.hold(rule).await;
        }
        let api = self.route.api;
        let reply = tokio::task::spawn_blocking(move || self.carried_out()).await;
        if pause == Some(Pause::After) {
            shared.faults.hold(rule).await;
        }
        reply.unwrap_or_else(|_| {
            let cause = io::Error::other("the simulator failed while carrying this out");
            refused(api, &Refusal::internal(&cause))
        })
    }

    fn carried_out(&self) -> Reply {
        let answer = || -> Result<Reply, Refusal> {
            let mut world = self.shared.world();
            world.expire()?;
            // A session's address is its own right: "Resumable uploads", session URIs.
            let by_session = matches!(self.route.operation, Operation::SessionPut | Operation::SessionCancel);
            let who = if by_session {
                Who::Anybody
            } else {
                Who::of(&world.credentials, self.call.token(), &self.shared.used)?
            };
            drop(world);
            let (shared, call, route, body) = (&*self.shared, &self.call, &self.route, &self.body);
            let asked = Asked { shared, call, route, who: &who, body, whole: self.whole };
            match route.api {
                Api::Xml => xml::answer(&asked),
                Api::Json => json::answer(&asked),
            }
        };
        answer().unwrap_or_else(|refusal| refused(self.route.api, &refusal))
    }
}

fn refused(api: Api, refusal: &Refusal) -> Reply {
    let mut reply = match api {
        Api::Xml => xml::refused(refusal),
        Api::Json => json::refused(refusal),
    };
    if let Some(seconds) = refusal.retry_after {
        reply.set("retry-after", &seconds.to_string());
    }
    reply
}

/// The documented reason for a status, where the test names none.
fn refusal_of(answer: &Answer) -> Refusal {
    let (code, reason) = match answer.status {
        401 => ("AuthenticationRequired", "authError"),
        403 => ("AccessDenied", "forbidden"),
        404 => ("NoSuchKey", "notFound"),
        408 => ("RequestTimeout", "uploadBrokenConnection"),
        412 => ("PreconditionFailed", "conditionNotMet"),
        429 => ("SlowDown", "rateLimitExceeded"),
        503 => ("ServiceUnavailable", "backendError"),
        504 => ("GatewayTimeout", "gatewayTimeout"),
        _ => ("InternalError", "internalError"),
    };
    let message =
        answer.message.clone().unwrap_or_else(|| "We encountered an error. Please try again.".to_owned());
    let mut refusal = Refusal::new(answer.status, code, reason, message);
    if let Some(reason) = &answer.reason {
        reason.clone_into(&mut refusal.code);
        reason.clone_into(&mut refusal.reason);
    }
    refusal.retry_after = answer.retry_after;
    refusal
}

fn send(reply: Reply, fault: &Fault) -> Response<Body> {
    let mut response = Response::new(body(reply.body.clone(), fault));
    *response.status_mut() = reply.code();
    let length = reply.body.len().to_string();
    let bodiless = [204, 304].contains(&reply.status);
    let mut reply = reply;
    if !bodiless && !reply.headers.contains_key("content-length") {
        reply.set("content-length", &length);
    }
    *response.headers_mut() = reply.headers;
    response
}

const CHUNK: usize = 16 * 1024;

fn body(bytes: Bytes, fault: &Fault) -> Body {
    let (per_second, cut) = (fault.answer_bytes_per_second, fault.cut_answer_at);
    if per_second.is_none() && cut.is_none() {
        return Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync();
    }
    let left = cut.map_or(usize::MAX, |at| usize::try_from(at).unwrap_or(usize::MAX));
    let frames = stream::unfold((bytes, left), move |(mut bytes, left)| async move {
        if bytes.is_empty() {
            return None;
        }
        if left == 0 {
            // What was sent so far leaves before the connection is closed.
            sleep(Duration::from_millis(5)).await;
            return Some((Err(Cut), (Bytes::new(), 0)));
        }
        let chunk = bytes.split_to(bytes.len().min(left).min(CHUNK));
        pace(per_second, chunk.len()).await;
        let left = left - chunk.len();
        Some((Ok(Frame::data(chunk)), (bytes, left)))
    });
    StreamBody::new(frames).boxed_unsync()
}
