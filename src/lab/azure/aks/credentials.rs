//! What opens a cluster: kubeconfigs with a token, or with a way to get one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::super::answer::{Answer, ArmError};
use super::super::call::Call;
use super::super::guard;
use super::super::ids;
use super::super::resources::Resource;
use super::super::world::World;
use super::{bad, refusal};

/// The application that stands for every cluster with Entra sign-in.
pub const SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
/// The application that asks for its users.
const CLIENT: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";

/// `POST …/listClusterUserCredential` and `…/listClusterAdminCredential`
pub fn list(world: &mut World, call: &Call) -> Result<Answer, ArmError> {
    let (id, what) = call.split();
    let cluster = world.need(id)?;
    let admin = what.eq_ignore_ascii_case("listClusterAdminCredential");
    let properties = &cluster.body["properties"];
    if admin && properties["disableLocalAccounts"] == true {
        return Err(bad(
            "BadRequest",
            "Getting static credential is not allowed because this cluster is set to disable local accounts.",
        ));
    }
    let Some(port) = cluster.secret["port"].as_u64() else {
        return Err(not_yet(world, cluster));
    };
    let user = if admin || properties["aadProfile"].is_null() {
        let role = if admin { "admin" } else { "user" };
        json!({"token": cluster.secret[role]})
    } else {
        entra(world)
    };
    let config = kubeconfig(cluster, port, admin, &user);
    let yaml = serde_yaml::to_string(&config).unwrap_or_default();
    let name = if admin { "clusterAdmin" } else { "clusterUser" };
    let found = json!({"kubeconfigs": [{"name": name, "value": BASE64_STANDARD.encode(yaml)}]});
    let id = cluster.id.clone();
    guard::record(world, &id, &format!("{what}/action"), None);
    Ok(Answer::ok(found))
}

/// What is said while nothing can be opened: soon, where it is only the lab that has
/// not opened the door of a control plane which Azure would have by now.
fn not_yet(world: &World, cluster: &Resource) -> ArmError {
    if let Some(own) = super::of_lab(world).filter(|own| own.id != cluster.id) {
        let message = format!(
            "The lab runs one cluster, {}; nothing runs in this one.",
            own.id
        );
        return refusal(StatusCode::CONFLICT, "OperationNotAllowed", message);
    }
    if cluster.secret["plane"] != true {
        return refusal(
            StatusCode::CONFLICT,
            "OperationNotAllowed",
            "The control plane of the cluster is not there yet; try again later.",
        );
    }
    let mut error = refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
        "The control plane of the cluster is about to answer.",
    );
    error.headers.push(("retry-after", "1".to_owned()));
    error
}

/// Sign-in by the plug-in that Entra clusters ask for.
fn entra(world: &World) -> Value {
    let tenant = &world.account.tenant;
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": [
            "get-token", "--environment", "AzurePublicCloud", "--server-id", SERVER,
            "--client-id", CLIENT, "--tenant-id", tenant, "--login", "devicecode",
        ],
        "env": null,
        "installHint": "\nkubelogin is not installed which is required to connect to AAD enabled cluster.\n\nTo learn more, please go to https://aka.ms/aks/kubelogin\n",
        "provideClusterInfo": false,
    }})
}

fn kubeconfig(cluster: &Resource, port: u64, admin: bool, user: &Value) -> Value {
    let name = ids::name(&cluster.id);
    let group = ids::group(&cluster.id).unwrap_or_default();
    let context = if admin {
        format!("{name}-admin")
    } else {
        name.to_owned()
    };
    let who = if admin { "clusterAdmin" } else { "clusterUser" };
    let who = format!("{who}_{group}_{name}");
    let authority = cluster.secret["papers"]["authority"]
        .as_str()
        .unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": BASE64_STANDARD.encode(authority),
        }}],
        "users": [{"name": who, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": name, "user": who}}],
        "current-context": context,
    })
}
