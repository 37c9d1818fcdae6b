//! Files up and down, on the wire.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use std::time::Duration;

use common::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wechat_sim::{Fault, Kind, MediaKind, Op, Outcome, Sim, Times};

const MIB: usize = 1024 * 1024;

async fn started() -> (Sim, String) {
    let sim = sim().start().await.unwrap();
    let token = sim.rotate_outside(APP, Kind::Sticky).access_token;
    (sim, token)
}

fn upload_target(token: &str) -> String {
    format!("/cgi-bin/media/upload?access_token={token}&type=image")
}

/// Bytes that no length and no boundary repeats.
fn file(size: usize) -> Vec<u8> {
    (0..size).map(|index| u8::try_from((index * 7 + index / 256) % 256).unwrap()).collect()
}

fn download(token: &str, media_id: &str, range: Option<&str>) -> String {
    let range = range.map_or(String::new(), |range| format!("Range: {range}\r\n"));
    get(&format!("/cgi-bin/media/get?access_token={token}&media_id={media_id}")).replace("Host:", &(range + "Host:"))
}

async fn media_id(sim: &Sim, token: &str, bytes: &[u8]) -> String {
    let body = json(sim.addr(), upload(&upload_target(token), "image/png", bytes)).await;
    body["media_id"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn a_file_goes_up_and_comes_back_byte_for_byte() {
    let (sim, token) = started().await;
    for size in [0, 1, 70_000, 12 * MIB] {
        let bytes = file(size);
        let body = json(sim.addr(), upload(&upload_target(&token), "image/png", &bytes)).await;
        let media_id = body["media_id"].as_str().unwrap_or_else(|| panic!("{body}"));
        assert_eq!((&body["type"], body["created_at"].as_u64().is_some()), (&json!("image"), true));
        let media = sim.media(media_id).unwrap();
        assert_eq!((media.owner.as_str(), media.kind, media.fingerprint.size), (APP, MediaKind::Image, size as u64));
        let (head, down) = reply(sim.addr(), download(&token, media_id, None)).await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nContent-Type: image/png\r\n"), "{head}");
        let name = format!("\r\nContent-Disposition: attachment; filename=\"{media_id}.png\"");
        assert!(head.contains(&name), "{head}");
        assert!(down == bytes, "{size} bytes");
        let shown = json(sim.addr(), get(&format!("/_control/media?media_id={media_id}"))).await;
        assert_eq!((&shown["sha256"], &shown["type"]), (&json!(media.fingerprint.sha256), &json!("image")));
    }
}

#[tokio::test]
async fn a_chunked_form_with_other_fields_is_understood() {
    let (sim, token) = started().await;
    let form = "--b\r\nContent-Disposition: form-data; name=\"description\"\r\n\r\nno file\r\n--b\r\n\
                Content-Disposition: form-data; name=\"media\"; filename=\"a\"\r\n\r\nfile\r\n--b--\r\nepilogue";
    let chunk = |part: &[u8]| format!("{:x}\r\n{}\r\n", part.len(), str::from_utf8(part).unwrap());
    let chunks: Vec<_> = form.as_bytes().chunks(7).map(chunk).collect();
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=\"b\"\r\n\r\n\
         {}0\r\n\r\n{}",
        upload_target(&token),
        chunks.concat(),
        token_request(),
    );
    let text = String::from_utf8(raw(sim.addr(), request).await.unwrap()).unwrap();
    assert!(text.contains("\"media_id\"") && text.contains("\"expires_in\""), "the connection goes on: {text}");
    let media_id = text.split_once("\"media_id\":\"").unwrap().1.split('"').next().unwrap();
    let media = sim.media(media_id).unwrap();
    assert_eq!((media.content_type.as_str(), media.fingerprint.size), ("application/octet-stream", 4));
}

#[tokio::test]
async fn each_bad_upload_or_download_gets_its_own_errcode() {
    let (sim, token) = started().await;
    let good = upload_target(&token);
    let form = String::from_utf8(upload(&good, "image/png", b"x")).unwrap();
    let (without_file, broken) = (form.replace("; filename=", "; filenam_="), form.replace("=limit", "=another"));
    for (request, errcode) in [
        (upload(&good.replace(&token, ""), "image/png", b"x"), 41001),
        (upload(&good.replace(&token, "75_never"), "image/png", b"x"), 40001),
        (upload(&good.replace("image", "film"), "image/png", b"x"), 40004),
        (without_file.into_bytes(), 41005),
        (post(&good, "no form").into_bytes(), 41005),
        (broken.into_bytes(), 41005),
        (get(&good).into_bytes(), 43002),
        (get(&format!("/cgi-bin/media/get?access_token={token}")).into_bytes(), 41006),
        (download(&token, "never", None).into_bytes(), 40007),
        (download("75_never", "never", None).into_bytes(), 40001),
        (post(&format!("/cgi-bin/media/get?access_token={token}"), "").into_bytes(), 43001),
    ] {
        let shown = String::from_utf8_lossy(&request).into_owned();
        assert_eq!(json(sim.addr(), request).await["errcode"], errcode, "{shown}");
    }
}

#[tokio::test]
async fn a_file_belongs_to_its_app_and_its_bytes_stay_while_there_is_room() {
    let (sim, token) = started().await;
    sim.register("wx2", SECRET);
    let other = sim.rotate_outside("wx2", Kind::Rotating).access_token;
    let first = media_id(&sim, &token, &file(1000)).await;
    assert_eq!(json(sim.addr(), download(&other, &first, None)).await["errcode"], 40007);
    sim.change_rules(|rules| rules.media_kept_bytes = 1000);
    let second = media_id(&sim, &token, &file(1000)).await;
    assert_eq!(json(sim.addr(), download(&token, &first, None)).await["errcode"], 40007);
    assert_eq!(reply(sim.addr(), download(&token, &second, None)).await.1, file(1000));
    let third = media_id(&sim, &token, &file(1001)).await;
    assert_eq!(json(sim.addr(), download(&token, &third, None)).await["errcode"], 40007);
    assert_eq!(sim.media(&third).unwrap().fingerprint.size, 1001);
}

#[tokio::test]
async fn a_range_gets_its_part() {
    let (sim, token) = started().await;
    let id = sim.make_media(APP, MediaKind::Video, "video/mp4", 100_000);
    let whole = reply(sim.addr(), download(&token, &id, None)).await.1;
    assert_eq!(whole.len(), 100_000);
    for (range, part) in [
        ("bytes=0-9", 0..10),
        ("bytes=99990-", 99_990..100_000),
        ("bytes=-5", 99_995..100_000),
        ("bytes=70000-999999", 70_000..100_000),
    ] {
        let (head, body) = reply(sim.addr(), download(&token, &id, Some(range))).await;
        assert!(head.starts_with("HTTP/1.1 206 Partial Content"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Range: bytes {}-{}/100000", part.start, part.end - 1)), "{head}");
        assert!(body == whole[part], "{range}");
    }
    let (head, _) = reply(sim.addr(), download(&token, &id, Some("bytes=100000-"))).await;
    assert!(head.starts_with("HTTP/1.1 416 ") && head.contains("\r\nContent-Range: bytes */100000"), "{head}");
    for range in ["bytes=0-1,5-6", "lines=1-2", "bytes=x"] {
        assert_eq!(reply(sim.addr(), download(&token, &id, Some(range))).await.1.len(), 100_000, "{range}");
    }
    let (head, body) = reply(sim.addr(), download(&token, &id, None).replace("GET", "HEAD")).await;
    assert!(head.contains("\r\nContent-Length: 100000\r\n") && body.is_empty(), "{head}");
}

#[tokio::test]
async fn a_made_file_is_the_one_whose_hash_was_given() {
    let (sim, token) = started().await;
    let made = json(sim.addr(), post("/_control/media", r#"{"size":200000,"content_type":"image/png"}"#)).await;
    let (head, body) = reply(sim.addr(), download(&token, made["media_id"].as_str().unwrap(), None)).await;
    assert!(head.contains("Content-Type: image/png"), "{head}");
    let again = media_id(&sim, &token, &body).await;
    assert_eq!(json!(sim.media(&again).unwrap().fingerprint.sha256), made["sha256"]);
    for bad in [r#"{"size":2000000000}"#, r#"{"size":1,"content_type":"a\r\nb"}"#, "{}"] {
        assert!(reply(sim.addr(), post("/_control/media", bad)).await.0.starts_with("HTTP/1.1 400 "), "{bad}");
    }
    assert!(reply(sim.addr(), get("/_control/media?media_id=no")).await.0.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_stalled_upload_is_a_call_that_ends_when_its_client_leaves() {
    let (sim, token) = started().await;
    let request = upload(&upload_target(&token), "image/png", &file(MIB));
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(&request[..request.len() / 2]).await.unwrap();
    until(|| sim.calls(Op::Media).len() == 1).await;
    let wait = tokio::time::timeout(Duration::from_millis(50), socket.read_u8()).await;
    assert!(wait.is_err(), "no byte and no end");
    assert_eq!((sim.calls(Op::Media)[0].appid.as_str(), sim.calls(Op::Media)[0].outcome), (APP, Outcome::Pending));
    media_id(&sim, &token, b"another upload meanwhile").await;
    drop(socket);
    until(|| sim.calls(Op::Media)[0].outcome == Outcome::Abandoned).await;
    assert_eq!(sim.route("/cgi-bin/media/upload").calls, 2);
}

#[tokio::test]
async fn a_download_whose_client_leaves_counts_as_abandoned() {
    let (sim, token) = started().await;
    let id = sim.make_media(APP, MediaKind::Video, "video/mp4", 64 * MIB as u64);
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(download(&token, &id, None).as_bytes()).await.unwrap();
    socket.read_exact(&mut vec![0; MIB]).await.unwrap();
    assert_eq!(sim.calls(Op::Media)[0].outcome, Outcome::Pending);
    drop(socket);
    until(|| sim.calls(Op::Media)[0].outcome == Outcome::Abandoned).await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let (sim, token) = started().await;
    let request = upload(&upload_target(&token), "image/png", b"x");
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(request[..end].to_vec()).unwrap().replace("Host:", "Expect: 100-continue\r\nHost:");
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 25];
    socket.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(&request[end..]).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.contains("media_id"), "{text}");
}

#[tokio::test]
async fn faults_apply_to_files_too() {
    let (sim, token) = started().await;
    let id = sim.make_media(APP, MediaKind::Image, "image/jpeg", 3000);
    sim.fault(Op::Media, Fault::Truncated.minting(), Times::Next(1));
    let (head, body) = reply(sim.addr(), download(&token, &id, None)).await;
    assert!(head.contains("Content-Length: 3000") && body.len() == 1500, "{head}");
    sim.fault(Op::Media, Fault::Huge(100_000).minting(), Times::Next(1));
    assert_eq!(reply(sim.addr(), download(&token, &id, None)).await.1.len(), 100_000);
    sim.fault(Op::Media, Fault::Reset, Times::Next(1));
    let lost = raw(sim.addr(), upload(&upload_target(&token), "image/png", b"x")).await;
    assert_eq!(lost.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
