//! Signing in: which of the ways that are set up answers, and what to run if none
//! does. Tokens stay in memory.

use std::{collections::HashMap, fmt, path::Path, sync::Arc, time::Duration};

use azure_core::{
    credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions},
    error::ErrorKind,
    time::OffsetDateTime,
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use tokio::{sync::Mutex, time::timeout};

use super::{certificate::Certificate, cloud::Cloud, error::Failure};
use crate::core::{
    azure::settings::{Azure, SignIn},
    workload::text::quote,
};

/// How long a command line tool may take for a token; it may have to ask the network.
const TOOL: Duration = Duration::from_secs(60);

/// How long the metadata service may take: it is next door, or not there.
const MACHINE: Duration = Duration::from_secs(5);

/// A token is renewed when it has less than this to live, seconds.
const RENEW: i64 = 300;

/// Someone who is signed in.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Where tokens come from; kept in memory until they expire.
    pub credential: Arc<Kept>,
    /// How, in words for the screen: `az login`.
    pub how: String,
}

/// Looks a variable of the environment up.
pub type Env<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// The process's own environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Signs in as `settings` say: by the way they name, or by the first that is set up
/// and answers with a token.
pub async fn sign_in(settings: &Azure, cloud: &Cloud, env: Env<'_>) -> Result<Identity, Failure> {
    let mut tried = Vec::new();
    for way in ways(settings.sign_in, env) {
        let source = Source::new(way, settings, cloud, env);
        let made = source.make().map(|(inner, how)| Identity {
            credential: Arc::new(Kept {
                source,
                state: Mutex::new(State {
                    inner,
                    tokens: HashMap::new(),
                }),
            }),
            how,
        });
        let limit = if way == SignIn::Managed {
            MACHINE
        } else {
            TOOL
        };
        let answer = match made {
            Ok(identity) => {
                match timeout(limit, identity.credential.get_token(&[&cloud.scope], None)).await {
                    Ok(Ok(_)) => return Ok(identity),
                    Ok(Err(error)) => reason(&error),
                    Err(_) => format!("no answer within {} s", limit.as_secs()),
                }
            }
            Err(why) => why,
        };
        tried.push(format!("{}: {answer}", name(way)));
    }
    let hint = match settings.sign_in {
        SignIn::ServicePrincipal => {
            "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH"
        }
        SignIn::Azd => "run `azd auth login`",
        SignIn::Workload => "set AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID and AZURE_TENANT_ID",
        SignIn::Managed => "give this machine an identity, or choose another azure.sign_in",
        SignIn::Auto | SignIn::Cli => "run `az login`",
    };
    Err(Failure::new(
        "sign in to Azure",
        format!("{}; {hint}", tried.join("; ")),
    ))
}

/// The ways to try, in their order.
fn ways(wanted: SignIn, env: Env<'_>) -> Vec<SignIn> {
    if wanted != SignIn::Auto {
        return vec![wanted];
    }
    let mut ways = Vec::new();
    let set = |name| env(name).is_some();
    if set("AZURE_CLIENT_ID")
        && (set("AZURE_CLIENT_SECRET") || set("AZURE_CLIENT_CERTIFICATE_PATH"))
    {
        ways.push(SignIn::ServicePrincipal);
    }
    if set("AZURE_FEDERATED_TOKEN_FILE") {
        ways.push(SignIn::Workload);
    }
    ways.extend([SignIn::Cli, SignIn::Azd, SignIn::Managed]);
    ways
}

const fn name(way: SignIn) -> &'static str {
    match way {
        SignIn::Auto => "auto",
        SignIn::Cli => "az",
        SignIn::Azd => "azd",
        SignIn::ServicePrincipal => "service principal",
        SignIn::Workload => "workload identity",
        SignIn::Managed => "managed identity",
    }
}

/// What a credential is made of, so that it can be made anew.
#[derive(Clone)]
struct Source {
    way: SignIn,
    tenant: Option<String>,
    cloud: Cloud,
    variables: HashMap<&'static str, String>,
}

/// The variables that a credential is made of.
const VARIABLES: [&str; 4] = [
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
];

/// A credential, and how it signs in in words.
type Made = (Arc<dyn TokenCredential>, String);

impl Source {
    fn new(way: SignIn, settings: &Azure, cloud: &Cloud, env: Env<'_>) -> Self {
        let variables: HashMap<_, _> = VARIABLES
            .into_iter()
            .filter_map(|name| Some((name, env(name)?)))
            .collect();
        Self {
            way,
            tenant: Some(settings.tenant.clone())
                .filter(|tenant| !tenant.is_empty())
                .or_else(|| variables.get("AZURE_TENANT_ID").cloned()),
            cloud: cloud.clone(),
            variables,
        }
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        self.variables
            .get(name)
            .cloned()
            .ok_or_else(|| format!("{name} is not set"))
    }

    fn make(&self) -> Result<Made, String> {
        let failed = |error: azure_core::Error| reason(&error);
        let tenant_id = self.tenant.clone();
        Ok(match self.way {
            SignIn::Auto | SignIn::Cli => {
                let options = AzureCliCredentialOptions {
                    tenant_id,
                    ..AzureCliCredentialOptions::default()
                };
                (
                    AzureCliCredential::new(Some(options)).map_err(failed)?,
                    "az login".to_owned(),
                )
            }
            SignIn::Azd => {
                let options = AzureDeveloperCliCredentialOptions {
                    tenant_id,
                    ..AzureDeveloperCliCredentialOptions::default()
                };
                (
                    AzureDeveloperCliCredential::new(Some(options)).map_err(failed)?,
                    "azd auth login".to_owned(),
                )
            }
            SignIn::ServicePrincipal => self.service_principal()?,
            SignIn::Workload => {
                let options = WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: self.cloud.client_options(),
                    },
                    tenant_id,
                    ..WorkloadIdentityCredentialOptions::default()
                };
                (
                    WorkloadIdentityCredential::new(Some(options)).map_err(failed)?,
                    "workload identity".to_owned(),
                )
            }
            SignIn::Managed => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: self
                        .variable("AZURE_CLIENT_ID")
                        .ok()
                        .map(UserAssignedId::ClientId),
                    ..ManagedIdentityCredentialOptions::default()
                };
                (
                    ManagedIdentityCredential::new(Some(options)).map_err(failed)?,
                    "managed identity".to_owned(),
                )
            }
        })
    }

    fn service_principal(&self) -> Result<Made, String> {
        let tenant = self.tenant.clone().ok_or("AZURE_TENANT_ID is not set")?;
        let client = self.variable("AZURE_CLIENT_ID")?;
        let failed = |error: azure_core::Error| reason(&error);
        if let Ok(secret) = self.variable("AZURE_CLIENT_SECRET") {
            let options = ClientSecretCredentialOptions {
                client_options: self.cloud.client_options(),
            };
            let how = format!("service principal {client} by secret");
            let made =
                ClientSecretCredential::new(&tenant, client, Secret::from(secret), Some(options));
            return Ok((made.map_err(failed)?, how));
        }
        let path = self
            .variable("AZURE_CLIENT_CERTIFICATE_PATH")
            .map_err(|_| "neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set")?;
        let endpoint = format!("{}/{tenant}/oauth2/v2.0/token", self.cloud.authority);
        let certificate = Certificate::read(Path::new(&path), &client, endpoint)?;
        let options = ClientAssertionCredentialOptions {
            client_options: self.cloud.client_options(),
        };
        let how = format!("service principal {client} by certificate");
        let made = ClientAssertionCredential::new(tenant, client, certificate, Some(options));
        Ok((made.map_err(failed)?, how))
    }
}

/// Why a credential failed, without what the library adds for its own support.
fn reason(error: &azure_core::Error) -> String {
    let text = error.to_string();
    let text = text.split(" To troubleshoot").next().unwrap_or(&text);
    let text = text
        .split_once("authentication failed.")
        .map_or(text, |(_, rest)| rest);
    quote(text)
}

/// A credential whose tokens are kept until they expire: `az` takes a second for
/// each, and keeps none.
pub struct Kept {
    source: Source,
    state: Mutex<State>,
}

struct State {
    inner: Arc<dyn TokenCredential>,
    tokens: HashMap<String, AccessToken>,
}

impl Kept {
    /// Forgets every token, the library's own too: one was refused.
    pub async fn forget(&self) {
        let mut state = self.state.lock().await;
        state.tokens.clear();
        if let Ok((inner, _)) = self.source.make() {
            state.inner = inner;
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("way", &self.source.way)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl TokenCredential for Kept {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let key = scopes.join(" ");
        let mut state = self.state.lock().await;
        let left =
            |token: &AccessToken| (token.expires_on - OffsetDateTime::now_utc()).whole_seconds();
        if let Some(token) = state.tokens.get(&key).filter(|token| left(token) > RENEW) {
            return Ok(token.clone());
        }
        let token = timeout(TOOL, state.inner.get_token(scopes, options))
            .await
            .map_err(|_| {
                azure_core::Error::with_message(ErrorKind::Credential, "no token within a minute")
            })??;
        state.tokens.insert(key, token.clone());
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_up_in_the_environment_comes_before_tools() {
        let env = |name: &str| {
            ["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"]
                .contains(&name)
                .then(|| "x".to_owned())
        };
        assert_eq!(ways(SignIn::Auto, &env)[0], SignIn::ServicePrincipal);
        assert_eq!(
            ways(SignIn::Auto, &|_| None),
            [SignIn::Cli, SignIn::Azd, SignIn::Managed]
        );
        assert_eq!(ways(SignIn::Azd, &env), [SignIn::Azd]);
    }
}
