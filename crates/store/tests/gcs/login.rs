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
    let source = |source: serde_json::Value| {
        refusal(&move |file: &mut serde_json::Value| file["credential_source"] = source.clone())
    };
    let program = serde_json::json!({ "executable": { "command": "/bin/true" } });
    assert!(source(program).contains("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"));
    assert!(source(serde_json::json!({ "certificate": {} })).contains("none of file, url, executable"));
    let aws = |id: &str| serde_json::json!({ "environment_id": id, "regional_cred_verification_url": "https://a.b" });
    assert!(source(aws("aws2")).contains("not aws1"));
    let odd = serde_json::json!({ "file": "f", "format": { "type": "xml" } });
    assert!(source(odd).contains("neither text nor json"));
    for far in ["http://tokens.acme.example/", "http://10.0.0.1/"] {
        assert!(source(serde_json::json!({ "url": far })).contains("not https"), "{far}");
    }
    let open = |file: &mut serde_json::Value| file["token_url"] = "http://sts.acme.example/token".into();
    assert!(refusal(&open).contains("not https"));
    let link = |file: &mut serde_json::Value| file["token_url"] = "http://169.254.169.254/token".into();
    assert!(refusal(&link).contains("not https"));
    assert!(
        refusal(&|file| file["type"] = "gdch_service_account".into())
            .contains("\"gdch_service_account\" are not supported")
    );
}

/// Clouds tell machines who they are by plain HTTP at addresses of the link.
#[test]
fn a_machines_own_cloud_is_asked_at_an_address_of_its_link() {
    let bench = Bench::new();
    let mut file = external(&bench, &Exchange::start(Vec::new()), false);
    for near in ["http://169.254.169.254/metadata", "http://[fd00:ec2::254]/latest"] {
        file["credential_source"] = serde_json::json!({ "url": near, "headers": { "Metadata": "True" } });
        assert!(logged_in_by(&bench, &file).is_ok(), "{near}");
    }
}

/// The storage itself is asked by TLS alone, and by a proxy; whoever hands out tokens on the machine is not.
#[tokio::test]
async fn tokens_of_the_machine_are_asked_for_in_plain_words_and_past_a_proxy() {
    let bench = Bench::new();
    let exchange = Exchange::start(vec![("/told", 200, SUBJECT.to_owned()), ("/sts", 200, sts(TOKEN))]);
    let mut file = external(&bench, &exchange, false);
    file["credential_source"] = serde_json::json!({ "url": format!("http://{}/told", exchange.address) });
    let mut config = bench.config("gs://acme-dr/pg");
    config.access.credentials_file = Some(bench.folder.path().join("federated.json"));
    logged_in_by(&bench, &file).unwrap();
    // Nobody listens at either.
    config.access.endpoint = Some("https://127.0.0.1:1".to_owned());
    config.access.proxy = Some("http://127.0.0.1:1".to_owned());
    let region = Region::open(config, &bench.world).unwrap();
    assert_eq!(region.get("a/b", 1 << 20).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let [told, exchanged] = exchange.questions().try_into().unwrap();
    assert!(told.starts_with("GET /told") && exchanged.starts_with("POST /sts"), "{told}{exchanged}");
}

#[tokio::test]
async fn a_person_of_a_workforce_names_whose_quota_is_used() {
    let bench = Bench::new();
    bench.repository().await;
    bench.allow(&WRITER);
    let exchange = Exchange::start(vec![("/sts", 200, sts(TOKEN))]);
    let mut file = external(&bench, &exchange, false);
    file["workforce_pool_user_project"] = "acme-quota".into();
    let region = logged_in_by(&bench, &file).unwrap();
    assert!(region.put_new("a/b", &body()).await.unwrap().is_stored());
    let [asked] = exchange.questions().try_into().unwrap();
    assert!(asked.contains("options=%7B%22userProject%22%3A%22acme-quota%22%7D"), "{asked}");
}

const AWS_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn aws(exchange: &Exchange) -> serde_json::Value {
    let at = |path: &str| format!("http://{}{path}", exchange.address);
    serde_json::json!({
        "environment_id": "aws1", "region_url": at("/latest/zone"), "url": at("/latest/keys"),
        "imdsv2_session_token_url": at("/latest/session"),
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    })
}

/// The subject's token of a question for an exchange, decoded as often as it was encoded.
fn request_in(question: &str) -> serde_json::Value {
    let (_, form) = question.split_once("\r\n\r\n").unwrap();
    let of_name = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        (name == "subject_token").then(|| value.into_owned())
    };
    let token = url::form_urlencoded::parse(form.as_bytes()).find_map(of_name).unwrap();
    let text = percent_encoding::percent_decode_str(&token).decode_utf8().unwrap().into_owned();
    serde_json::from_str(&text).unwrap()
}

/// What AWS does with such a request is not shown here; its signature is held against AWS's own examples beside the code.
#[tokio::test]
async fn a_machine_of_aws_signs_who_it_is_with_what_its_cloud_tells_it() {
    let bench = Bench::new();
    bench.repository().await;
    bench.allow(&WRITER);
    let keys =
        serde_json::json!({ "AccessKeyId": "AKID", "SecretAccessKey": AWS_SECRET, "Token": "of-the-role" })
            .to_string();
    let exchange = Exchange::start(vec![
        ("/latest/session", 200, "the-session".to_owned()),
        ("/latest/zone", 200, "eu-west-1b".to_owned()),
        ("/latest/keys/backup", 200, keys),
        ("/latest/keys", 200, "backup".to_owned()),
        ("/sts", 200, sts(TOKEN)),
    ]);
    let mut file = external(&bench, &exchange, false);
    file["credential_source"] = aws(&exchange);
    file["subject_token_type"] = "urn:ietf:params:aws:token-type:aws4_request".into();
    let region = logged_in_by(&bench, &file).unwrap();
    assert!(region.put_new("a/b", &body()).await.unwrap().is_stored());
    let questions = exchange.questions();
    let told: Vec<_> = questions.iter().filter(|one| one.starts_with("GET /latest/")).collect();
    assert!(
        told.len() == 3 && told.iter().all(|one| one.contains("x-aws-ec2-metadata-token: the-session")),
        "{told:?}"
    );
    let sessions = questions.iter().filter(|one| one.starts_with("PUT /latest/session"));
    assert!(sessions.clone().count() > 0 && sessions.clone().all(|one| one.contains("ttl-seconds: 300")));
    let exchanged = questions.iter().find(|one| one.starts_with("POST /sts")).unwrap();
    assert!(!exchanged.contains("wJalr"), "{exchanged}");
    let request = request_in(exchanged);
    assert_eq!(
        request["url"],
        "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
    );
    let text = request["headers"].to_string();
    for part in ["of-the-role", "//iam/pools/acme", "Credential=AKID/", "/eu-west-1/sts/aws4_request"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A process of its own, whose environment says what these names are.
fn in_environment(test: &str, environment: &[(&str, &str)]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", &format!("login::{test}"), "--nocapture"])
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_program_prints_a_token_where_the_environment_allows_it() {
    in_environment("with_programs_allowed", &[("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")]);
}

#[test]
fn aws_keys_of_the_environment_go_before_the_machines() {
    let keys =
        [("AWS_ACCESS_KEY_ID", "OFENV"), ("AWS_SECRET_ACCESS_KEY", AWS_SECRET), ("AWS_REGION", "us-west-2")];
    in_environment("with_aws_keys", &keys);
}

#[tokio::test]
#[ignore = "run by another test, in an environment of its own"]
async fn with_aws_keys() {
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        return;
    }
    let bench = Bench::new();
    bench.repository().await;
    bench.allow(&WRITER);
    let exchange = Exchange::start(vec![("/sts", 200, sts(TOKEN))]);
    let mut file = external(&bench, &exchange, false);
    file["credential_source"] = aws(&exchange);
    let region = logged_in_by(&bench, &file).unwrap();
    assert!(region.put_new("a/b", &body()).await.unwrap().is_stored());
    let [asked] = exchange.questions().try_into().unwrap();
    let request = request_in(&asked).to_string();
    assert!(
        request.contains("Credential=OFENV/") && request.contains("sts.us-west-2.amazonaws.com"),
        "{request}"
    );
    assert!(!request.contains("x-amz-security-token"), "{request}");
}

#[tokio::test]
#[ignore = "run by another test, in an environment of its own"]
async fn with_programs_allowed() {
    if std::env::var_os("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES").is_none() {
        return;
    }
    let bench = Bench::new();
    bench.repository().await;
    bench.allow(&WRITER);
    let exchange = Exchange::start(vec![("/sts", 200, sts(TOKEN))]);
    let program = bench.folder.path().join("a program");
    let kept = bench.folder.path().join("kept");
    let logged_in = |script: &str, more: serde_json::Value| {
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let mut executable =
            serde_json::json!({ "command": format!("\"{}\" --audience acme", program.display()) });
        executable.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut file = external(&bench, &exchange, false);
        file["credential_source"] = serde_json::json!({ "executable": executable });
        logged_in_by(&bench, &file).unwrap()
    };
    let print = |fields: &str| format!("echo '{{\"version\": 1, {fields}}}'");
    let good = print(
        "\"success\": true, \"token_type\": \"urn:ietf:params:oauth:token-type:jwt\", \"id_token\": \"'$1$2$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE'\"",
    );
    let region = logged_in(&good, serde_json::json!({}));
    assert!(region.put_new("a/b", &body()).await.unwrap().is_stored());
    let [asked] = exchange.questions().try_into().unwrap();
    assert!(asked.contains("subject_token=--audienceacme%2F%2Fiam%2Fpools%2Facme"), "{asked}");

    // SAML; and what a program kept of its last run is used while it holds, without running it.
    let saml = |until: &str| {
        format!(
            "{{\"version\": 1, \"success\": true, \"token_type\": \"urn:ietf:params:oauth:token-type:saml2\", \
             \"saml_response\": \"answer\", \"expiration_time\": {until}}}"
        )
    };
    std::fs::write(&kept, saml("4102444800")).unwrap();
    let region = logged_in("exit 3", serde_json::json!({ "output_file": kept }));
    assert_eq!(region.get("a/b", 1 << 20).await.unwrap(), body());
    let [asked] = exchange.questions().try_into().unwrap();
    assert!(asked.contains("token-type%3Asaml2&subject_token=answer"), "{asked}");

    std::fs::write(&kept, saml("1")).unwrap();
    let refused =
        print("\"success\": false, \"code\": \"401\", \"message\": \"nobody is logged in\"") + "; exit 1";
    let no_json = format!("echo \"{SUBJECT}\"");
    let expired = format!("echo '{}'", saml("1"));
    let forever = print("\"success\": true, \"token_type\": \"t\", \"id_token\": \"x\"");
    for (script, said) in [
        ("exit 3", "ended with exit status: 3"),
        (refused.as_str(), "refused: 401 nobody is logged in"),
        (no_json.as_str(), "printed no JSON of a token"),
        (expired.as_str(), "has expired"),
        (forever.as_str(), "no expiration_time"),
    ] {
        let region = logged_in(script, serde_json::json!({ "output_file": kept }));
        let error = region.get("a/b", 1 << 20).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::NotFound, "{}", error.chain());
        assert!(error.chain().contains(said), "{script}: {}", error.chain());
        assert!(!error.chain().contains("stranger"), "{}", error.chain());
    }
    assert!(exchange.questions().is_empty());
    // Nothing waits for a program longer than for a service that does not move.
    let region = logged_in("exec sleep 60", serde_json::json!({}));
    assert_eq!(region.get("a/b", 1 << 20).await.unwrap_err().kind(), ErrorKind::Unavailable);
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
