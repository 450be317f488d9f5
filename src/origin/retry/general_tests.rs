//! What a site that passes clients' fields on has of its origin, over real sockets.

use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::mpsc;

use crate::config::{S3Credentials, Store};
use crate::http::forward::Fields;
use crate::http::range::Wanted;
use crate::limits::INTERIM_MAX;
use crate::metrics::METRICS;
use crate::origin::scripted::{Scripted, Step, get, read_all, say, site, web, whole};
use crate::origin::{Delimited, Error, Fetch, Origin, Refusal, Span, build};

fn s3() -> Store {
    Store::S3 {
        bucket: "vod".into(),
        region: "us-east-1".into(),
        virtual_host: false,
        credentials: S3Credentials::Anonymous,
    }
}

fn once(origin: &Scripted) -> std::sync::Arc<dyn Origin> {
    let mut site = site(Store::Web { host: None }, &[&origin.url]);
    site.deadlines.tries = 1;
    build::build(&site).unwrap()
}

/// A fetch whose request has these fields of a client's.
fn with(fields: &[(&'static str, &'static str)]) -> Fetch {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    Fetch {
        fields: Some(Fields::of(&headers)),
        ..get("/a")
    }
}

#[tokio::test]
async fn a_web_origin_sees_the_client_s_fields_and_a_store_does_not() {
    let fetch = with(&[("user-agent", "player/1"), ("accept-language", "de")]);
    for (store, seen) in [(Store::Web { host: None }, true), (s3(), false)] {
        let origin = Scripted::start(vec![whole("a")]).await;
        let client = build::build(&site(store, &[&origin.url])).unwrap();
        client.fetch(&fetch).await.unwrap();
        let head = origin.heads().remove(0);
        assert_eq!(head.contains("accept-language: de\r\n"), seen, "{head}");
        assert_eq!(head.contains("user-agent: player/1\r\n"), seen, "{head}");
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
        assert!(head.contains("cdn-loop: weir\r\n"), "{head}");
    }
}

#[tokio::test]
async fn a_body_is_continued_with_the_fields_that_it_began_with() {
    let broken = "HTTP/1.1 200 OK\nContent-Length: 10\nETag: \"a\"\n\nhello";
    let rest = "HTTP/1.1 206 P\nContent-Length: 5\nContent-Range: bytes 5-9/10\nETag: \"a\"\n\n\
                world";
    let scripts = vec![vec![say(broken), Step::Close], vec![say(rest)]];
    let origin = Scripted::start(scripts).await;
    let client = web(&[&origin.url]);
    let mut reply = client.fetch(&with(&[("cookie", "a=b")])).await.unwrap();
    assert_eq!(read_all(&mut reply.body).await.unwrap(), b"helloworld");
    let heads = origin.heads();
    assert!(heads.iter().all(|head| head.contains("cookie: a=b\r\n")));
}

#[tokio::test]
async fn encoded_bodies_come_as_they_are_and_are_not_joined() {
    let head = "Content-Encoding: gzip\nETag: W/\"a\"\n";
    let part =
        format!("HTTP/1.1 206 P\n{head}Content-Length: 5\nContent-Range: bytes 0-4/10\n\nhello");
    let cut = format!("HTTP/1.1 200 OK\n{head}Content-Length: 10\n\nhello");
    let chunked = format!("HTTP/1.1 200 OK\n{head}Transfer-Encoding: chunked\n\n2\nhi\n0\n\n");
    let scripts = vec![
        vec![say(&part)],
        vec![say(&chunked)],
        vec![say(&cut), Step::Close],
    ];
    let origin = Scripted::start(scripts).await;
    let client = web(&[&origin.url]);
    let offered = with(&[("accept-encoding", "gzip")]);
    let ranged = Fetch {
        range: Some(Wanted::Span(0, 4)),
        ..offered.clone()
    };
    let reply = client.fetch(&ranged).await.unwrap();
    let span = Span {
        first: 0,
        last: 4,
        total: 10,
    };
    assert_eq!(reply.span, Some(span));
    let mut reply = client.fetch(&offered).await.unwrap();
    assert_eq!(reply.headers[CONTENT_ENCODING], "gzip");
    assert_eq!(read_all(&mut reply.body).await.unwrap(), b"hi");
    let mut reply = client.fetch(&offered).await.unwrap();
    let error = read_all(&mut reply.body).await.unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
    assert_eq!(origin.heads().len(), 3);
}

#[tokio::test]
async fn interim_answers_are_told_before_the_final_one_and_leave_nothing_in_it() {
    let mut script = vec![
        say("HTTP/1.1 100 Continue\n\n"),
        say("HTTP/1.1 102 Processing\n\n"),
        say("HTTP/1.1 103 Early Hints\nLink: </a>\nConnection: x-b\nX-B: 1\n\n"),
    ];
    script.extend(whole("hello"));
    let origin = Scripted::start(vec![script.clone(), script.clone()]).await;
    let (listener, mut told) = mpsc::channel(4);
    let fetch = Fetch {
        interim: Some(listener),
        ..get("/a")
    };
    let mut reply = web(&[&origin.url]).fetch(&fetch).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.headers.len()), (200, 1));
    let first = told.try_recv().unwrap();
    assert_eq!((first.status.as_u16(), first.headers.len()), (102, 0));
    let second = told.try_recv().unwrap();
    assert_eq!((second.status.as_u16(), second.headers.len()), (103, 1));
    assert_eq!(second.headers["link"], "</a>");
    assert!(told.try_recv().is_err());
    assert_eq!(read_all(&mut reply.body).await.unwrap(), b"hello");
    let store = build::build(&site(s3(), &[&origin.url])).unwrap();
    assert_eq!(store.fetch(&fetch).await.unwrap().status, 200);
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn interim_answers_without_end_are_refused_and_their_listener_is_not_waited_for() {
    let hints = |count: usize| say(&"HTTP/1.1 103 Hint\nLink: </a>\n\n".repeat(count));
    let mut most = vec![hints(INTERIM_MAX)];
    most.extend(whole("hello"));
    let scripts = vec![most, vec![hints(INTERIM_MAX + 1)]];
    let origin = Scripted::start(scripts).await;
    let client = once(&origin);
    let (listener, told) = mpsc::channel(1);
    let fetch = Fetch {
        interim: Some(listener),
        ..get("/a")
    };
    let dropped = METRICS.origin_interims_dropped.get();
    let mut reply = client.fetch(&fetch).await.unwrap();
    assert_eq!(read_all(&mut reply.body).await.unwrap(), b"hello");
    assert_eq!(told.len(), 1);
    let lost = u64::try_from(INTERIM_MAX - 1).unwrap();
    assert!(METRICS.origin_interims_dropped.get() >= dropped + lost);
    let error = client.fetch(&fetch).await.err().unwrap();
    let malformed = Refusal::MalformedHead;
    assert!(
        matches!(error, Error::Refused { reason, .. } if reason == malformed),
        "{error}"
    );
}

#[tokio::test]
async fn a_5xx_is_an_answer_at_once_where_there_is_one_try() {
    for status in [500, 501, 502, 503, 504, 599] {
        let text =
            format!("HTTP/1.1 {status} No\nRetry-After: 7\nX-A: b\nContent-Length: 4\n\nbusy");
        let origin = Scripted::start(vec![vec![say(&text)], whole("ok")]).await;
        let mut reply = once(&origin).fetch(&get("/a")).await.unwrap();
        assert_eq!((reply.status.as_u16(), origin.left()), (status, 1));
        assert_eq!(reply.headers["retry-after"], "7");
        assert_eq!(reply.headers["x-a"], "b");
        assert_eq!(read_all(&mut reply.body).await.unwrap(), b"busy");
    }
}

#[tokio::test]
async fn a_5xx_is_an_answer_once_the_tries_are_used_up_and_a_store_s_is_bare() {
    let text = "HTTP/1.1 503 No\nRetry-After: 7\nX-A: b\nContent-Length: 4\n\nbusy";
    for (store, body) in [(Store::Web { host: None }, "busy"), (s3(), "")] {
        let scripts = vec![vec![say(text)], vec![say(text)], whole("ok")];
        let origin = Scripted::start(scripts).await;
        let mut site = site(store, &[&origin.url]);
        site.deadlines.tries = 2;
        let client = build::build(&site).unwrap();
        let mut reply = client.fetch(&get("/a")).await.unwrap();
        assert_eq!((reply.status.as_u16(), origin.left()), (503, 1));
        assert_eq!(reply.headers["retry-after"], "7");
        assert_eq!(reply.headers.contains_key("x-a"), !body.is_empty());
        assert_eq!(read_all(&mut reply.body).await.unwrap(), body.as_bytes());
    }
}

#[tokio::test]
async fn a_connection_that_dies_before_any_head_is_one_request_where_there_is_one_try() {
    for end in [Step::Close, Step::Reset] {
        let scripts = vec![whole("one"), vec![end.clone()], vec![end], whole("two")];
        let origin = Scripted::start(scripts).await;
        let client = once(&origin);
        let mut reply = client.fetch(&get("/a")).await.unwrap();
        assert_eq!(read_all(&mut reply.body).await.unwrap(), b"one");
        // The connection of the first answer, and a new one.
        for seen in [2, 3] {
            let error = client.fetch(&get("/a")).await.err().unwrap();
            assert!(matches!(error, Error::Connect { .. }), "{error}");
            assert_eq!(origin.heads().len(), seen);
        }
    }
}

#[tokio::test]
async fn a_body_in_a_coding_that_nobody_knows_ends_with_its_connection() {
    let text = "HTTP/1.1 200 OK\nTransfer-Encoding: abc\n\nhello";
    let origin = Scripted::start(vec![vec![say(text), Step::Close], whole("after")]).await;
    let client = web(&[&origin.url]);
    let mut reply = client.fetch(&with(&[("accept", "*/*")])).await.unwrap();
    assert_eq!(reply.body.delimited(), Delimited::Close);
    assert!(reply.headers.is_empty());
    assert_eq!(read_all(&mut reply.body).await.unwrap(), b"hello");
    let mut reply = client.fetch(&get("/a")).await.unwrap();
    assert_eq!(read_all(&mut reply.body).await.unwrap(), b"after");
}

#[tokio::test]
async fn a_part_without_length_is_exactly_what_its_range_says_or_broken() {
    for (chunk, expected) in [("hello", Some("hello")), ("hell", None), ("hello,", None)] {
        let head = "HTTP/1.1 206 P\nContent-Range: bytes 0-4/9\n";
        let length = chunk.len();
        let chunked = format!("{head}Transfer-Encoding: chunked\n\n{length}\n{chunk}\n0\n\n");
        let closed = format!("{head}Connection: close\n\n{chunk}");
        for text in [chunked, closed] {
            let origin = Scripted::start(vec![vec![say(&text), Step::Close]]).await;
            let fetch = Fetch {
                range: Some(Wanted::Span(0, 4)),
                ..get("/a")
            };
            let mut reply = once(&origin).fetch(&fetch).await.unwrap();
            let body = read_all(&mut reply.body).await;
            match expected {
                Some(expected) => assert_eq!(body.unwrap(), expected.as_bytes()),
                None => assert!(matches!(body, Err(Error::Truncated { .. })), "{text}"),
            }
        }
    }
}

#[tokio::test]
async fn an_origin_without_ranges_or_validators_gives_the_whole_and_continues_nothing() {
    let whole = "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello";
    let cut = "HTTP/1.1 200 OK\nContent-Length: 10\n\nhello";
    let scripts = vec![vec![say(whole)], vec![say(cut), Step::Close]];
    let origin = Scripted::start(scripts).await;
    let client = web(&[&origin.url]);
    let fetch = Fetch {
        range: Some(Wanted::Span(2, 3)),
        ..get("/a")
    };
    let mut reply = client.fetch(&fetch).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.span), (200, None));
    assert_eq!(read_all(&mut reply.body).await.unwrap(), b"hello");
    let mut reply = client.fetch(&get("/a")).await.unwrap();
    let error = read_all(&mut reply.body).await.unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
    assert_eq!(origin.heads().len(), 2);
}

#[tokio::test]
async fn a_part_of_other_bytes_than_asked_is_refused() {
    for (range, length) in [
        ("bytes 4-9/10", 5),
        ("bytes 0-3/10", 4),
        ("bytes 1-5/10", 5),
    ] {
        let body = "x".repeat(length);
        let text =
            format!("HTTP/1.1 206 P\nContent-Range: {range}\nContent-Length: {length}\n\n{body}");
        let origin = Scripted::start(vec![vec![say(&text)]]).await;
        let fetch = Fetch {
            range: Some(Wanted::Span(0, 4)),
            ..with(&[("accept", "*/*")])
        };
        let error = once(&origin).fetch(&fetch).await.err().unwrap();
        assert!(matches!(error, Error::Refused { .. }), "{range}: {error}");
    }
}
