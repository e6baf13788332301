//! Azure: `Get Container Properties`, `Get Blob Service Properties`, `Get Account Information`
//! (<https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api>).
//!
//! Where an account lies, how long an immutability policy lasts and what a login may do are told by Azure's resource manager only,
//! which asks for another kind of login: they are "not told" here.

use super::rules::between;
use super::{About, Answer, Lock, NotTold, Service, Told, Versions, days, request, send, told};
use async_trait::async_trait;
use object_store::azure::{AzureAuthorizer, AzureCredential};
use object_store::client::HttpClient;
use object_store::{CredentialProvider, Result};
use std::sync::Arc;
use std::time::Duration;

/// A container of Azure.
#[derive(Debug)]
pub(in crate::bucket) struct Azure {
    pub(in crate::bucket) client: HttpClient,
    pub(in crate::bucket) credentials: Arc<dyn CredentialProvider<Credential = AzureCredential>>,
    /// Without a slash at its end.
    pub(in crate::bucket) base: String,
    pub(in crate::bucket) account: String,
    pub(in crate::bucket) container: String,
}

#[async_trait]
impl Service for Azure {
    fn questions(&self) -> Vec<String> {
        let container = &self.container;
        vec![
            format!("/{container}?restype=container"),
            "/?restype=service&comp=properties".to_owned(),
            "/?restype=account&comp=properties".to_owned(),
        ]
    }

    async fn ask(&self, question: &str) -> Result<Answer> {
        let mut request = request(&format!("{}{question}", self.base))?;
        let credential = self.credentials.get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request)?;
        send(&self.client, request).await
    }

    fn read(&self, answers: &[Told<Answer>]) -> About {
        let [container, service, account] = [0, 1, 2].map(|at| told(answers.get(at)));
        let kind = account.ok().and_then(|answer| answer.header("x-ms-sku-name"));
        let kind = kind.map(|kind| format!(" (the account is {kind})")).unwrap_or_default();
        let here = "Azure tells it only through its resource manager";
        let holds = |name: &'static str| {
            container.clone().map(|answer| answer.header(name).is_some_and(|value| value == "true"))
        };
        About {
            bucket: self.container.clone(),
            location: Err(NotTold(format!("{here}{kind}"))),
            owner: Ok(format!("account {}", self.account)),
            lock: holds("x-ms-has-immutability-policy").and_then(|has| match has {
                false => Ok(None::<Lock>),
                true => Err(NotTold(format!("there is an immutability policy; how long it lasts: {here}"))),
            }),
            holds_new_objects: holds("x-ms-has-legal-hold"),
            versions: holds("x-ms-immutable-storage-with-versioning-enabled").and_then(|kept| match kept {
                true => Ok(Versions::Kept(None)),
                false => Err(NotTold(format!("whether the account keeps versions: {here}"))),
            }),
            soft_delete: service.and_then(|answer| soft_delete(&answer.text())),
            deletes_by_itself: Err(NotTold(format!("rules of the account: {here}"))),
            rights: Err(NotTold("Azure's storage answers no question about rights".to_owned())),
        }
    }
}

fn soft_delete(xml: &str) -> Told<Option<Duration>> {
    let Some(policy) = between(xml, "<DeleteRetentionPolicy>", "</DeleteRetentionPolicy>") else {
        return Ok(None);
    };
    if !policy.contains("<Enabled>true</Enabled>") {
        return Ok(None);
    }
    let count = between(policy, "<Days>", "</Days>").and_then(|text| text.trim().parse().ok());
    count
        .map(|count| Some(days(count)))
        .ok_or_else(|| NotTold("the days of soft delete cannot be read".into()))
}
