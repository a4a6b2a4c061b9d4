//! Who sends a request: tokens, service accounts, and those who are spoken for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::MASTERS;
use crate::lab::kinds::Resource;
use crate::lab::store::{Key, Store};

/// Everybody who has shown who he is.
const AUTHENTICATED: &str = "system:authenticated";
const ACCOUNTS: &str = "system:serviceaccounts";
const ACCOUNT: &str = "system:serviceaccount:";
/// The name under which the lab's own token acts.
const ADMIN: &str = "aks-tui-lab";

/// A user as authorization sees him.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Unique id, where there is one.
    pub uid: String,
    /// Groups he is in.
    pub groups: Vec<String>,
    /// What else is known of him, for a review of himself.
    pub extra: Value,
}

impl User {
    /// A user of these groups who has shown who he is.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain(&[AUTHENTICATED]);
        Self {
            name: name.to_owned(),
            groups: groups.map(|it| (*it).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// The user that a service account is.
    pub fn account(namespace: &str, name: &str) -> Self {
        let of_namespace = format!("{ACCOUNTS}:{namespace}");
        Self::new(
            &format!("{ACCOUNT}{namespace}:{name}"),
            &[ACCOUNTS, &of_namespace],
        )
    }

    /// Namespace and name of the service account that a name stands for.
    pub fn account_of(name: &str) -> Option<(&str, &str)> {
        name.strip_prefix(ACCOUNT)?.split_once(':')
    }

    /// Whether a binding in `namespace` means this user with a subject.
    pub fn is(&self, subject: &Value, namespace: &str) -> bool {
        let text = |field: &str| subject[field].as_str().unwrap_or_default();
        match text("kind") {
            "User" => self.name == text("name"),
            "Group" => self.groups.iter().any(|it| it == text("name")),
            "ServiceAccount" => {
                let place = match text("namespace") {
                    "" => namespace,
                    place => place,
                };
                Self::account_of(&self.name) == Some((place, text("name")))
            }
            _ => false,
        }
    }

    /// As reviews tell it.
    pub fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_null() {
            info["extra"] = self.extra.clone();
        }
        info
    }
}

/// A token that was given out to a service account.
#[derive(Debug, Clone)]
pub struct Session {
    namespace: String,
    name: String,
    /// The account's; a new account of the same name is another.
    uid: String,
    /// When it is worth nothing any more.
    pub expires: Timestamp,
}

/// Who finds the user of a token that somebody else has given out.
type Finder = Arc<dyn Fn(&str) -> Option<User> + Send + Sync>;

/// The tokens that open the lab.
#[derive(Clone)]
pub struct Users {
    fixed: Arc<[(String, User)]>,
    issued: Arc<Mutex<HashMap<String, Session>>>,
    others: Option<Finder>,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl Users {
    /// The lab's users, each with his token: who may do everything, who may
    /// look, and who may do nothing.
    pub fn new(admin: String, view: String, none: String) -> Self {
        Self::of(vec![
            (admin, User::new(ADMIN, &[MASTERS])),
            (view, User::new("lab-view", &[])),
            (none, User::new("lab-none", &[])),
        ])
    }

    /// These users, each with his token.
    pub fn of(fixed: Vec<(String, User)>) -> Self {
        Self {
            fixed: fixed.into(),
            issued: Arc::default(),
            others: None,
        }
    }

    /// The same, and those whom somebody else knows by their tokens.
    pub fn also(mut self, others: impl Fn(&str) -> Option<User> + Send + Sync + 'static) -> Self {
        self.others = Some(Arc::new(others));
        self
    }

    /// Names and tokens, in the order in which a kubeconfig lists them.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fixed
            .iter()
            .map(|(token, user)| (user.name.as_str(), token.as_str()))
    }

    /// Whose token it is.
    pub fn find(&self, store: &Store, token: &str) -> Option<User> {
        let fixed = self
            .fixed
            .iter()
            .find(|(own, _)| same(own.as_bytes(), token.as_bytes()));
        if let Some((_, user)) = fixed {
            return Some(user.clone());
        }
        if let Some(user) = self.others.as_ref().and_then(|find| find(token)) {
            return Some(user);
        }
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let session = issued
            .get(token)
            .filter(|it| it.expires > Timestamp::now())?
            .clone();
        drop(issued);
        let key = Key::new(Resource::ServiceAccounts, &session.namespace, &session.name);
        let account = store.get(&key)?;
        (account["metadata"]["uid"] == session.uid.as_str()).then(|| User {
            uid: session.uid.clone(),
            ..User::account(&session.namespace, &session.name)
        })
    }

    /// Gives out a token for a service account.
    pub fn issue(&self, account: &Value, token: String, life: SignedDuration) -> Session {
        let text = |field: &str| {
            account["metadata"][field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let now = Timestamp::now();
        let session = Session {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            expires: now.checked_add(life).unwrap_or(Timestamp::MAX),
        };
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.retain(|_, it| it.expires > now);
        issued.insert(token, session.clone());
        session
    }
}

/// A token that nobody can guess; none when the system gives no randomness.
pub fn fresh_token() -> Option<String> {
    let mut bytes = [0_u8; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Compares without telling by the time it takes where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_token_opens() {
        let store = Store::new(0);
        let users = Users::new("secret".to_owned(), "look".to_owned(), "none".to_owned());
        let name = |token: &str| users.find(&store, token).map(|it| it.name);
        assert_eq!(name("secret").as_deref(), Some("aks-tui-lab"));
        assert_eq!(name("look").as_deref(), Some("lab-view"));
        for wrong in ["secre", "secrets", "", "xxxxxx"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_accounts_token_ends_with_its_time_and_with_the_account() {
        let store = Store::new(0);
        let users = Users::new("a".to_owned(), "b".to_owned(), "c".to_owned());
        let made = json!({"metadata": {"name": "bot", "namespace": "team"}});
        let account = store
            .create(Resource::ServiceAccounts, made.clone())
            .unwrap();
        users.issue(&account, "t1".to_owned(), SignedDuration::from_hours(1));
        users.issue(&account, "t0".to_owned(), SignedDuration::ZERO);
        let user = users.find(&store, "t1").unwrap();
        assert_eq!(user.name, "system:serviceaccount:team:bot");
        assert_eq!(
            user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:team",
                AUTHENTICATED
            ]
        );
        assert!(users.find(&store, "t0").is_none());
        store.remove(&Key::of(Resource::ServiceAccounts, &account), None);
        assert!(users.find(&store, "t1").is_none());
        store.create(Resource::ServiceAccounts, made).unwrap();
        assert!(users.find(&store, "t1").is_none());
    }
}
