//! Sign-in: what Microsoft Entra answers to a service principal.
//!
//! Tokens have the form of the real ones, so that clients can read in them who
//! and where they are, and say by a signature of the simulator's own that it
//! gave them out. Nobody else can check that, as with the real ones.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};

use super::answer::{Answer, ArmError};
use super::call::Call;
use super::world::{Account, World};
use crate::lab::store::new_uid;

/// How long a token lasts, in seconds: an hour and a bit, as the real ones.
const LIFE: i64 = 3899;

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`: where to sign in.
pub fn configuration(_world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let (base, tenant) = (&call.base, call.arg("tenant"));
    Ok(Answer::ok(json!({
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/{tenant}/oauth2/v2.0/logout"),
        "issuer": format!("{base}/{tenant}/v2.0"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "response_types_supported": ["code", "id_token", "code id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "tenant_region_scope": "NA",
    })))
}

/// `GET /{tenant}/discovery/v2.0/keys`: none, since nobody can check tokens.
pub fn keys(_world: &mut World, _call: &Call) -> Result<Answer, ArmError> {
    Ok(Answer::ok(json!({"keys": []})))
}

/// `GET /common/discovery/instance`: this authority and no other.
pub fn instance(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let base = &call.base;
    let host = base.trim_start_matches("https://");
    let tenant = &world.account.tenant;
    Ok(Answer::ok(json!({
        "tenant_discovery_endpoint":
            format!("{base}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{
            "preferred_network": host, "preferred_cache": host, "aliases": [host],
        }],
    })))
}

/// `POST /{tenant}/oauth2/v2.0/token` and `/oauth2/token`: a token for a secret.
pub fn token(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let form: Vec<(String, String)> = form_urlencoded::parse(&call.raw).into_owned().collect();
    let field = |name: &str| {
        let found = form.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let account = &world.account;
    let tenant = call.arg("tenant");
    if !tenant.eq_ignore_ascii_case(&account.tenant) {
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        );
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            90002,
            &text,
        ));
    }
    if field("grant_type") != "client_credentials" {
        let text = format!(
            "The app requested an unsupported grant type '{}'.",
            field("grant_type")
        );
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            70003,
            &text,
        ));
    }
    if !field("client_id").eq_ignore_ascii_case(&account.client) {
        let text = format!(
            "Application with identifier '{}' was not found in the directory 'aks-tui lab'.",
            field("client_id")
        );
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "unauthorized_client",
            700_016,
            &text,
        ));
    }
    if field("client_secret") != account.secret {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{}'.",
            account.client
        );
        return Ok(refusal(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            7_000_215,
            &text,
        ));
    }
    let audience = match field("scope") {
        "" => field("resource"),
        scope => scope.trim_end_matches("/.default"),
    };
    if audience.is_empty() {
        let text = "The request body must contain the following parameter: 'scope'.";
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            900_144,
            text,
        ));
    }
    let token = issue(account, &call.base, audience, Timestamp::now().as_second());
    Ok(Answer::ok(json!({
        "token_type": "Bearer",
        "expires_in": LIFE,
        "ext_expires_in": LIFE,
        "access_token": token,
    })))
}

/// How Entra refuses.
fn refusal(status: StatusCode, error: &str, number: u32, text: &str) -> Answer {
    let (trace, correlation) = (new_uid(), new_uid());
    let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    Answer::json(
        status,
        json!({
            "error": error,
            "error_description": format!(
                "AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"
            ),
            "error_codes": [number],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
        }),
    )
}

fn issue(account: &Account, base: &str, audience: &str, now: i64) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({"typ": "JWT", "alg": "HS256"}));
    let body = part(&json!({
        "aud": audience,
        "iss": format!("{base}/{}/v2.0", account.tenant),
        "iat": now, "nbf": now, "exp": now + LIFE,
        "appid": account.client,
        "idtyp": "app",
        "oid": account.principal,
        "sub": account.principal,
        "tid": account.tenant,
        "ver": "1.0",
    }));
    let signed = format!("{head}.{body}");
    let signature = hmac::sign(&key(account), signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn key(account: &Account) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, account.key.as_bytes())
}

/// Whether a request brings a token that opens the subscription at a time.
///
/// # Errors
/// What Azure Resource Manager says of one that does not.
pub fn check(account: &Account, call: &Call, now: i64) -> Result<(), ArmError> {
    let refused = |code: &str, message: &str| {
        let mut error = ArmError::new(StatusCode::UNAUTHORIZED, code, message);
        let challenge = format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{message}\"",
            call.base, account.tenant
        );
        error.headers.push(("www-authenticate", challenge));
        error
    };
    let Some(token) = call.header("authorization").strip_prefix("Bearer ") else {
        return Err(refused(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        ));
    };
    let invalid = || refused("InvalidAuthenticationToken", "The access token is invalid.");
    let body = read(account, token).ok_or_else(invalid)?;
    if is_over(&body, now) {
        return Err(refused(
            "ExpiredAuthenticationToken",
            "The access token has expired. The token must be refreshed and sent again.",
        ));
    }
    Ok(())
}

/// Whether a token is of ours, for an audience, and has not run out.
pub fn is_for(account: &Account, token: &str, audience: &str, now: i64) -> bool {
    read(account, token).is_some_and(|body| body["aud"] == audience && !is_over(&body, now))
}

fn is_over(body: &Value, now: i64) -> bool {
    body["exp"].as_i64().is_none_or(|end| end <= now)
}

/// What a token says, if it is of ours.
fn read(account: &Account, token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    hmac::verify(&key(account), signed.as_bytes(), &signature).ok()?;
    let body = BASE64_URL_SAFE_NO_PAD
        .decode(signed.split('.').nth(1)?)
        .ok()?;
    serde_json::from_slice(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_until_its_end_and_no_other_does() {
        let account = Account {
            tenant: "t".into(),
            subscription: "s".into(),
            client: "c".into(),
            secret: "x".into(),
            principal: "p".into(),
            key: "k".into(),
        };
        let call = |token: &str| {
            let mut call = Call {
                method: http::Method::GET,
                path: String::new(),
                arguments: Vec::new(),
                query: std::collections::BTreeMap::new(),
                headers: http::HeaderMap::new(),
                raw: bytes::Bytes::new(),
                body: Value::Null,
                base: "https://127.0.0.1:1".into(),
                correlation: String::new(),
            };
            if !token.is_empty() {
                let value = format!("Bearer {token}").parse().unwrap();
                call.headers.insert("authorization", value);
            }
            call
        };
        let token = issue(
            &account,
            "https://127.0.0.1:1",
            "https://management.azure.com",
            1000,
        );
        assert!(check(&account, &call(&token), 1001).is_ok());
        let other = Account {
            key: "other".into(),
            ..account.clone()
        };
        for (account, token, now, code) in [
            (
                &account,
                token.as_str(),
                1000 + LIFE,
                "ExpiredAuthenticationToken",
            ),
            (&other, token.as_str(), 1001, "InvalidAuthenticationToken"),
            (&account, "abc", 1001, "InvalidAuthenticationToken"),
            (&account, "", 1001, "AuthenticationFailed"),
        ] {
            let error = check(account, &call(token), now).unwrap_err();
            assert_eq!(
                (error.status, error.code()),
                (StatusCode::UNAUTHORIZED, code)
            );
        }
    }
}
