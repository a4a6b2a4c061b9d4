//! What is around the pods: nodes, and Chaos Mesh.

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Body, Served, refuse, reply, stream};

impl Served {
    pub(super) async fn around(
        &self,
        method: &Method,
        path: &str,
        watch: bool,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if let ["apis", _, rest @ ..] = &parts[..] {
            return if self.state().chaos.is_some() {
                self.chaos(method, rest, &body)
            } else {
                refuse(404, "the server could not find the requested resource")
            };
        }
        let Some(node) = self.state().node.clone() else {
            return refuse(403, "nodes is forbidden");
        };
        match &parts[..] {
            ["api", "v1", "nodes", name] => {
                let body = String::from_utf8(body.to_vec()).unwrap();
                self.state().deeds.push(format!("patch {name} {body}"));
                reply(&node)
            }
            ["api", "v1", "nodes"] if watch => stream(self.cut.clone(), |sender| async move {
                sender.closed().await;
            }),
            ["api", "v1", "nodes"] => reply(&listed(&[node])),
            _ => {
                let pods: Vec<_> = self.state().pods.values().cloned().collect();
                reply(&listed(&pods))
            }
        }
    }

    /// Chaos Mesh: what is created takes hold at once.
    fn chaos(&self, method: &Method, rest: &[&str], body: &[u8]) -> Response<Body> {
        let mut state = self.state();
        if rest.len() == 1 {
            return reply(&json!({"kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": "chaos-mesh.org/v1alpha1",
                "resources": [{"name": "networkchaos", "singularName": "", "namespaced": true,
                    "kind": "NetworkChaos", "verbs": ["create", "delete", "get", "list"]}]}));
        }
        let name = rest.get(4).map(|name| (*name).to_owned());
        let deeds = if *method == Method::GET {
            None
        } else {
            let name = name.as_deref().unwrap_or_default();
            Some(format!("{method} chaos {name}"))
        };
        state.deeds.extend(deeds);
        let objects = state.chaos.as_mut().unwrap();
        match (method, name) {
            (&Method::POST, _) => {
                let mut object: Value = serde_json::from_slice(body).unwrap();
                object["status"] = json!({"conditions": [
                    {"type": "Selected", "status": "True"},
                    {"type": "AllInjected", "status": "True"}]});
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                objects.insert(name, object.clone());
                reply(&object)
            }
            (&Method::DELETE, Some(name)) => {
                let object = objects.remove(&name);
                object.map_or_else(|| refuse(404, "no such chaos"), |object| reply(&object))
            }
            (_, Some(name)) => {
                let object = objects.get(&name).cloned();
                object.map_or_else(|| refuse(404, "no such chaos"), |object| reply(&object))
            }
            (_, None) => {
                let objects: Vec<_> = objects.values().cloned().collect();
                reply(&listed(&objects))
            }
        }
    }
}

fn listed(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}
