//! WebSocket: the handshake over HTTP/1.1 (RFC 6455) or HTTP/2 (RFC 8441), and messages in and out. The frames are
//! efir-ws's; what the messages mean is in [`crate::wire`].

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use efir_ws::handshake::{VERSION, accept_key, client_key};
use efir_ws::{Agreement, Decoder, DecoderLimits, Opcode, Role, deflate, frame, negotiation};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, HttpVersion, Opened};
use crate::connection::Lease;
use crate::error::ClientError;
use crate::event::{Closed, Event};
use crate::subscription::Head;
use crate::{OBJECT_BYTES_MAX, wire};

/// The close code of a connection that ended without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = 1006;
/// The close code of an end that is as it should be.
const NORMAL: u16 = 1000;
/// The close code of a peer that gave none.
const NO_CODE: u16 = 1005;

/// The least message that is compressed when that was agreed.
const DEFLATE_BYTES_MIN: usize = 300;

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    io: TokioIo<Upgraded>,
    decoder: Decoder,
    /// Compression was agreed.
    is_deflating: bool,
    /// What has been received and not yet decoded.
    input: BytesMut,
    /// Frames that are to be sent; kept here so that a cancelled call loses none.
    output: BytesMut,
    is_close_sent: bool,
    is_closed: bool,
    /// Over HTTP/2: keeps the connection while the stream lives.
    _lease: Lease,
}

/// Opens a WebSocket.
pub(crate) async fn connect(
    client: &Client,
    path: &str,
    headers: &HeaderMap,
) -> Result<(Head, WebSocket), ClientError> {
    let mut request = Request::new(Full::new(Bytes::new()));
    client.address(&mut request, path)?;
    request.headers_mut().extend(client.headers().clone());
    request.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    if client.has_websocket_deflate() {
        let offer = HeaderValue::from_static(negotiation::OFFER);
        request.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, offer);
    }
    let (opened, wanted) = match client.version() {
        HttpVersion::Http1 => {
            let key = client_key(random()?);
            let own = request.headers_mut();
            own.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            own.insert(UPGRADE, HeaderValue::from_static("websocket"));
            own.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).map_err(http::Error::from)?);
            own.extend(headers.clone());
            let opened = client.send_request(request).await?;
            (expect_accept(opened, &key)?, StatusCode::SWITCHING_PROTOCOLS)
        }
        HttpVersion::H2c => {
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(Protocol::from_static("websocket"));
            request.headers_mut().extend(headers.clone());
            (client.send_request(request).await?, StatusCode::OK)
        }
    };
    if opened.response.status() != wanted {
        return Err(opened.into_refusal().await);
    }
    let Opened { mut response, lease } = opened;
    let head = Head { status: response.status(), headers: response.headers().clone() };
    let agreement = agreement(client, &head.headers)?;
    let upgraded = hyper::upgrade::on(&mut response).await?;
    Ok((head, WebSocket::new(upgraded, lease, agreement)))
}

/// What the server agreed to; anything that was not offered fails the connection (RFC 6455 §4.1).
fn agreement(client: &Client, headers: &HeaderMap) -> Result<Option<Agreement>, ClientError> {
    let lines: Vec<_> = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().map(HeaderValue::as_bytes).collect();
    let answer = String::from_utf8_lossy(&lines.join(&b',')).into_owned();
    let agreed = Agreement::from_answer(&answer).map_err(|error| ClientError::Protocol(error.to_string()))?;
    match agreed {
        Some(_) if !client.has_websocket_deflate() => {
            Err(ClientError::Protocol(negotiation::AnswerInvalid.to_string()))
        }
        agreed => Ok(agreed),
    }
}

/// A 101 must prove that the server understood the handshake (RFC 6455 §4.1).
fn expect_accept(opened: Opened, key: &str) -> Result<Opened, ClientError> {
    if opened.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(opened);
    }
    let found = opened.response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    let wanted = accept_key(key).ok();
    if found.is_some() && found == wanted.as_deref().map(str::as_bytes) {
        return Ok(opened);
    }
    Err(ClientError::Protocol(
        "the WebSocket handshake was answered with a wrong Sec-WebSocket-Accept".into(),
    ))
}

impl WebSocket {
    fn new(upgraded: Upgraded, lease: Lease, agreement: Option<Agreement>) -> Self {
        let limits = DecoderLimits {
            message_bytes_max: OBJECT_BYTES_MAX,
            frame_bytes_max: OBJECT_BYTES_MAX,
            fragments_max: 1024,
        };
        let decoder = Decoder::new(Role::Client, limits);
        Self {
            io: TokioIo::new(upgraded),
            decoder: if agreement.is_some() { decoder.with_deflate() } else { decoder },
            is_deflating: agreement.is_some(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            is_close_sent: false,
            is_closed: false,
            _lease: lease,
        }
    }

    /// The next event; [`Event::Closed`] once at the end, then `None`. Answers pings. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if self.is_closed {
                return Ok(None);
            }
            match self.decoder.decode(&mut self.input) {
                Ok(Some(event)) => {
                    if let Some(event) = self.take(event)? {
                        if self.is_closed {
                            self.flush_once().await;
                        }
                        return Ok(Some(event));
                    }
                }
                Ok(None) => {
                    self.flush().await?;
                    if self.io.read_buf(&mut self.input).await? == 0 {
                        self.is_closed = true;
                        return Ok(Some(Event::Closed(Closed { code: ABNORMAL, reason: String::new() })));
                    }
                }
                Err(error) => {
                    self.is_closed = true;
                    let close = frame::encode_close_masked(error.close_code(), &error.to_string(), random()?);
                    self.output.extend_from_slice(&close);
                    self.flush().await?;
                    return Err(ClientError::Protocol(format!("bad WebSocket frame: {error}")));
                }
            }
        }
    }

    fn take(&mut self, event: efir_ws::Event) -> Result<Option<Event>, ClientError> {
        match event {
            efir_ws::Event::Text(text) => wire::event(&text).map(Some),
            efir_ws::Event::Binary(_) => {
                Err(ClientError::Protocol("the server sent a binary frame; objects come as text".into()))
            }
            efir_ws::Event::Ping(payload) => {
                let pong = frame::encode_masked(Opcode::Pong, &payload, random()?);
                self.output.extend_from_slice(&pong);
                Ok(None)
            }
            efir_ws::Event::Pong(_) => Ok(None),
            efir_ws::Event::Close { code, reason } => {
                self.is_closed = true;
                if !self.is_close_sent {
                    let echo = frame::encode_close_masked(code.unwrap_or(NORMAL), "", random()?);
                    self.output.extend_from_slice(&echo);
                }
                let reason = String::from_utf8_lossy(&reason).into_owned();
                Ok(Some(Event::Closed(Closed { code: code.unwrap_or(NO_CODE), reason })))
            }
        }
    }

    /// Sends a message as one frame.
    pub(crate) async fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), ClientError> {
        let frame = if self.is_deflating && payload.len() >= DEFLATE_BYTES_MIN {
            deflate::masked_frame(opcode, payload, random()?)
        } else {
            frame::encode_masked(opcode, payload, random()?)
        };
        self.output.extend_from_slice(&frame);
        self.flush().await
    }

    /// Sends a close frame; what the server still has to say comes with [`WebSocket::next`].
    pub(crate) async fn close(&mut self, code: u16, reason: &str) -> Result<(), ClientError> {
        self.is_close_sent = true;
        self.output.extend_from_slice(&frame::encode_close_masked(code, reason, random()?));
        self.flush().await
    }

    /// Sends what can be sent at once: the peer is going away and may not read any more.
    async fn flush_once(&mut self) {
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = pin!(self.flush()).poll(cx) {
                tracing::debug!(%error, "the close frame was not answered");
            }
            Poll::Ready(())
        })
        .await;
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        while !self.output.is_empty() {
            self.io.write_buf(&mut self.output).await?;
        }
        Ok(self.io.flush().await?)
    }
}

/// Unpredictable bytes, as masks and keys must be (RFC 6455 §10.3).
fn random<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| ClientError::Io(std::io::Error::other(error)))?;
    Ok(bytes)
}
