//! Logging in to Google as a workload that another provider vouches for, and as another account; the exchange of tokens is a double.

use super::{Bench, TOKEN, WRITER, body};
use bytes::Bytes;
use seawall_store::{ErrorKind, OpenError, Region};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

/// Where tokens are exchanged: answers what it is asked with what the test wants, and keeps the questions.
struct Exchange {
    address: std::net::SocketAddr,
    asked: std::sync::mpsc::Receiver<String>,
}

impl Exchange {
    /// `answers` by the beginning of a path: status and body.
    fn start(answers: Vec<(&'static str, u16, String)>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (keep, asked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let question = read_request(&mut stream);
                let path = question.split(' ').nth(1).unwrap_or_default().to_owned();
                let found = answers.iter().find(|(begin, ..)| path.starts_with(begin));
                let (status, body) = found.map_or((404, ""), |(_, status, body)| (*status, body.as_str()));
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                // Whoever asked may be gone.
                drop(stream.write_all(format!("{head}{body}").as_bytes()));
                if keep.send(question).is_err() {
                    return;
                }
            }
        });
        Self { address, asked }
    }

    fn questions(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }
}

fn read_request(stream: &mut std::net::TcpStream) -> String {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).unwrap_or(0);
        request.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return text;
            }
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if count == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

const SUBJECT: &str = "a-stranger's-token-that-nobody-may-see";

/// A region whose credentials are this JSON.
fn logged_in_by(bench: &Bench, credentials: &serde_json::Value) -> Result<Region, OpenError> {
    let file = bench.folder.path().join("federated.json");
    std::fs::write(&file, credentials.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = bench.config("gs://acme-dr/pg");
    config.access.credentials_file = Some(file);
    Region::open(config, &bench.world)
}

fn external(bench: &Bench, exchange: &Exchange, lent: bool) -> serde_json::Value {
    let subject = bench.folder.path().join("subject.json");
    std::fs::write(&subject, format!("{{\"token\": \"{SUBJECT}\"}}")).unwrap();
    let mut file = serde_json::json!({
        "type": "external_account", "audience": "//iam/pools/acme", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("http://{}/sts", exchange.address),
        "credential_source": { "file": subject, "format": { "type": "json", "subject_token_field_name": "token" } },
    });
    if lent {
        file["service_account_impersonation_url"] = format!("http://{}/lend", exchange.address).into();
    }
    file
}

fn sts(token: &str) -> String {
    serde_json::json!({ "access_token": token, "expires_in": 3600, "token_type": "Bearer" }).to_string()
}

#[tokio::test]
async fn a_workload_that_another_provider_vouches_for_is_let_in_once_an_hour() {
    let bench = Bench::new();
    bench.repository().await;
    bench.allow(&WRITER);
    let exchange = Exchange::start(vec![("/sts", 200, sts(TOKEN))]);
    let region = logged_in_by(&bench, &external(&bench, &exchange, false)).unwrap();
    assert_eq!(region.get("seawall.json", 1 << 20).await.unwrap(), Bytes::from_static(b"{}"));
    assert!(region.put_new("a/b", &body()).await.unwrap().is_stored());
    let [asked] = exchange.questions().try_into().unwrap();
    let subject: String = url::form_urlencoded::byte_serialize(SUBJECT.as_bytes()).collect();
    assert!(
        asked.contains(&format!("subject_token={subject}")) && asked.contains("devstorage.read_write"),
        "{asked}"
    );
    assert!(asked.contains("audience=%2F%2Fiam%2Fpools%2Facme"), "{asked}");
}

#[tokio::test]
async fn another_accounts_token_is_asked_for_with_the_first() {
    let bench = Bench::new();
    bench.repository().await;
    bench.allow(&WRITER);
    let lent = serde_json::json!({ "accessToken": TOKEN, "expireTime": "2099-01-01T00:00:00Z" }).to_string();
    let exchange = Exchange::start(vec![("/sts", 200, sts("first")), ("/lend", 200, lent)]);
    let person = serde_json::json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
        "token_uri": format!("http://{}/sts", exchange.address),
    });
    let impersonated = serde_json::json!({
        "type": "impersonated_service_account", "delegates": ["between"], "source_credentials": person,
        "service_account_impersonation_url": format!("http://{}/lend", exchange.address),
    });
    for credentials in [external(&bench, &exchange, true), impersonated] {
        let region = logged_in_by(&bench, &credentials).unwrap();
        assert_eq!(region.get("seawall.json", 1 << 20).await.unwrap(), Bytes::from_static(b"{}"));
        let [first, second] = exchange.questions().try_into().unwrap();
        assert!(first.starts_with("POST /sts") && second.starts_with("POST /lend"), "{first}\n{second}");
        assert!(second.contains("Bearer first") && second.contains("devstorage.read_write"), "{second}");
        let is_person = first.contains("grant_type=refresh_token");
        assert_eq!(is_person, second.contains("\"delegates\":[\"between\"]"), "{first}\n{second}");
    }
}

#[tokio::test]
async fn a_login_that_is_refused_is_denied_and_one_that_is_away_is_away() {
    let bench = Bench::new();
    bench.repository().await;
    let cases = [
        (400, "{\"error\": \"invalid_grant\"}", ErrorKind::Denied),
        (403, "{\"error\": {\"code\": 403, \"message\": \"no\"}}", ErrorKind::Denied),
        (503, "", ErrorKind::Unavailable),
    ];
    for (status, said, kind) in cases {
        let exchange = Exchange::start(vec![("/sts", status, said.to_owned())]);
        let region = logged_in_by(&bench, &external(&bench, &exchange, false)).unwrap();
        let error = region.get("seawall.json", 1 << 20).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {}", error.chain());
        assert!(!error.chain().contains("stranger"), "{}", error.chain());
    }
}

#[test]
fn files_of_a_kind_that_is_not_supported_are_refused_by_name() {
    let bench = Bench::new();
    let exchange = Exchange::start(Vec::new());
    let refusal = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut file = external(&bench, &exchange, false);
        change(&mut file);
        match logged_in_by(&bench, &file) {
            Err(OpenError::Bucket { source, .. }) => source.to_string(),
            other => format!("{other:?}"),
        }
    };
    let program =
        |file: &mut serde_json::Value| file["credential_source"] = serde_json::json!({ "executable": {} });
    assert!(refusal(&program).contains("programs and AWS are not"));
    let open = |file: &mut serde_json::Value| file["token_url"] = "http://sts.acme.example/token".into();
    assert!(refusal(&open).contains("not https"));
    assert!(refusal(&|file| file["workforce_pool_user_project"] = "p".into()).contains("workforce pools"));
    assert!(
        refusal(&|file| file["type"] = "gdch_service_account".into())
            .contains("\"gdch_service_account\" are not supported")
    );
}

/// Who pays is told to the storage, and to nobody who only hands out tokens.
#[tokio::test]
async fn who_pays_for_requests_is_named_in_each() {
    let bench = Bench::new();
    let exchange = Exchange::start(vec![("/sts", 200, sts(TOKEN)), ("/acme-dr", 404, String::new())]);
    let file = bench.folder.path().join("federated.json");
    std::fs::write(&file, external(&bench, &exchange, false).to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = bench.config("gs://acme-dr/pg");
    config.access.endpoint = Some(format!("http://{}", exchange.address));
    config.access.user_project = Some("acme-pays".to_owned());
    config.access.credentials_file = Some(file);
    let region = Region::open(config, &bench.world).unwrap();
    assert!(region.head("a/b").await.is_err());
    let questions = exchange.questions();
    let pays = |begin: &str| {
        let of = questions.iter().filter(|one| one.contains(begin));
        of.map(|one| one.contains("x-goog-user-project: acme-pays")).collect::<Vec<_>>()
    };
    assert_eq!(pays("POST /sts"), [false]);
    assert!(
        !pays(" /acme%2Ddr/").is_empty() && pays(" /acme%2Ddr/").iter().all(|pays| *pays),
        "{questions:?}"
    );
}
