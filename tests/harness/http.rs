//! An HTTP client that hides nothing: one connection, every header, raw bytes too.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::Student;
use crate::wait::PATIENCE;

/// A client of one server and site. Requests share one kept-alive connection and go one
/// after the other; for requests at once, use several clients.
pub struct Http {
    address: SocketAddr,
    host: String,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// What the server sends until it closes, or until nothing has come for `quiet`.
async fn all_that_comes(mut stream: TcpStream, quiet: Duration) -> Vec<u8> {
    let mut reply = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(Ok(n)) = timeout(quiet, stream.read(&mut buffer)).await {
        if n == 0 {
            break;
        }
        reply.extend_from_slice(&buffer[..n]);
    }
    reply
}

impl Http {
    /// Of the server at `address`; `host` is the value of the `Host` header, which names
    /// the site.
    pub fn new(address: SocketAddr, host: &str) -> Self {
        Self {
            address,
            host: host.to_owned(),
            connection: Mutex::new(None),
        }
    }

    /// Where it asks.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A GET, to be refined and sent.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.request(Method::GET, path)
    }

    /// A POST, to be refined and sent.
    pub fn post(&self, path: &str) -> Call<'_> {
        self.request(Method::POST, path)
    }

    /// Any request, to be refined and sent.
    pub fn request(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            http: self,
            method,
            target: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Sends these bytes on a connection of their own and returns what comes until the
    /// server closes it, or until nothing has come for `quiet`.
    ///
    /// # Errors
    /// If no connection can be made.
    pub async fn raw(&self, bytes: &[u8], quiet: Duration) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await?;
        // The server may close before it has read everything; what it said counts.
        let _ = stream.write_all(bytes).await;
        Ok(all_that_comes(stream, quiet).await)
    }

    /// As [`Http::raw`], and as a web server in front sees it: a server that does not take
    /// all the bytes is broken, whatever it said.
    ///
    /// # Errors
    /// If no connection can be made, or not all could be sent.
    pub async fn raw_whole(&self, bytes: &[u8], quiet: Duration) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(bytes).await.context("sending")?;
        Ok(all_that_comes(stream, quiet).await)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(sender)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let mut connection = self.connection.lock().await;
        let mut kept = connection.take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let start = Instant::now();
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let elapsed = start.elapsed();
        *connection = Some(sender);
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
            elapsed,
        })
    }
}

/// A request that is being put together.
#[must_use = "a request does nothing until it is sent"]
pub struct Call<'a> {
    http: &'a Http,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call<'_> {
    /// Adds a header; the same name twice is sent twice.
    ///
    /// # Panics
    /// If it cannot be sent in HTTP.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.headers.append(name, value);
        self
    }

    /// As this user, by API token.
    pub fn token(self, user: &Student) -> Self {
        self.header("authorization", user.token())
    }

    /// As this user, by session cookie.
    pub fn cookie(self, user: &Student) -> Self {
        self.header("cookie", user.cookie())
    }

    /// Arguments in the query.
    pub fn query(mut self, arguments: &[(&str, &str)]) -> Self {
        self.target
            .push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(&form(arguments));
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// A form's body.
    pub fn form(self, arguments: &[(&str, &str)]) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded")
            .body(form(arguments))
    }

    /// Any body; its length is declared.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// If the connection breaks, or nothing is answered for long.
    pub async fn try_send(self) -> Result<Answer> {
        let what = format!("{} {}", self.method, self.target);
        let mut request = Request::builder()
            .method(self.method)
            .uri(&self.target)
            .body(Full::new(self.body))?;
        *request.headers_mut() = self.headers;
        if !request.headers().contains_key(header::HOST) {
            let host = HeaderValue::from_str(&self.http.host)?;
            request.headers_mut().insert(header::HOST, host);
        }
        timeout(PATIENCE, self.http.send(request))
            .await
            .with_context(|| format!("{what}: no answer within {PATIENCE:?}"))?
            .context(what)
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Panics
    /// If the connection breaks, or nothing is answered for long.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|e| panic!("{e:#}"))
    }
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers; `Set-Cookie` may repeat.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// From the first byte sent to the last byte read, connecting not included.
    pub elapsed: Duration,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// `message` of a successful answer.
    ///
    /// # Panics
    /// If the status is not 200 or there is no message.
    pub fn message(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        let mut json = self.json();
        json["message"].take()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name, or "".
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

fn form(arguments: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(arguments)
        .finish()
}
