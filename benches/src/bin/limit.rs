//! What no sidecar could be quicker than: a bare hyper handler, in a process of its own as the
//! sidecar is.
//!
//! - `GET /fixed` answers a body made beforehand.
//! - `GET /N` sends the `N`th of the given commands to Redis over one multiplexed connection,
//!   waits for its reply and answers the same body.
//!
//! It prints `listening on http://ADDRESS` once it does, as the sidecar does.

use std::convert::Infallible;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::net::TcpListener;

/// A bare handler.
#[derive(Parser)]
struct Limit {
    /// The Redis.
    #[arg(long)]
    redis: String,
    /// A file with the commands, each a list of texts, in JSON.
    #[arg(long)]
    commands: PathBuf,
    /// Bytes of a body.
    #[arg(long)]
    body_bytes: usize,
}

struct Served {
    redis: MultiplexedConnection,
    commands: Vec<Cmd>,
    body: Bytes,
}

#[tokio::main]
async fn main() -> Result<()> {
    let limit = Limit::parse();
    let commands = std::fs::read(&limit.commands).context("reading the commands")?;
    let commands: Vec<Vec<String>> = serde_json::from_slice(&commands)?;
    let client = redis::Client::open(limit.redis)?;
    let served = Arc::new(Served {
        redis: client.get_multiplexed_async_connection().await?,
        commands: commands.iter().map(|command| cmd(command)).collect(),
        body: vec![b'x'; limit.body_bytes].into(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(stdout(), "listening on http://{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let served = served.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(served.clone(), request));
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    served: Arc<Served>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().trim_start_matches('/');
    let command = path
        .parse()
        .ok()
        .and_then(|n: usize| served.commands.get(n));
    let replied = match command {
        Some(command) => {
            let reply = command
                .query_async::<Value>(&mut served.redis.clone())
                .await;
            reply.is_ok()
        }
        None => path == "fixed",
    };
    let mut answer = Response::new(Full::new(served.body.clone()));
    if !replied {
        *answer.status_mut() = hyper::StatusCode::BAD_GATEWAY;
    }
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    Ok(answer)
}

fn cmd(words: &[String]) -> Cmd {
    let mut words = words.iter();
    let mut cmd = redis::cmd(words.next().map_or("PING", String::as_str));
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd
}
