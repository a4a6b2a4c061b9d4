//! From a request to its answer.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::Line;
use super::limits::{Flow, Limits};
use super::patch::Patch;
use super::path::{self, Target};
use super::present::{ListMeta, Presenter};
use super::request::{self, Filter, Query};
use super::respond::{self, Body};
use super::status::{ApiError, FieldError};
use super::write::{self, Options, Part, Written};
use super::{
    authorize, delete, discovery, evict, logs, metrics, openapi, reach, read, reviews, scale,
    streams, watch,
};
use crate::lab::access::{User, Users};
use crate::lab::kinds::Resource;
use crate::lab::node::Node;
use crate::lab::schema::Place;
use crate::lab::store::{Key, Store};

/// The version whose interface is served, and by whom.
pub const VERSION: &str = concat!("v1.33.0+aks-tui-lab-", env!("CARGO_PKG_VERSION"));

/// All that an answer may need.
pub struct Api {
    /// The objects.
    pub store: Store,
    /// The node's streams.
    pub node: Arc<dyn Node>,
    /// Who may come in.
    pub users: Users,
    /// How much each of them may ask at once.
    pub limits: Limits,
    /// Where the server listens.
    pub address: String,
    /// Ends what would go on.
    pub stop: CancellationToken,
    /// Work that outlives its request.
    pub tasks: TaskTracker,
}

type Answer = Result<Response<Body>, ApiError>;

/// The parts of a request that are needed after its body is taken.
struct Call {
    method: Method,
    query: Query,
    head: http::request::Parts,
    user: User,
}

impl Api {
    /// Answers a request.
    ///
    /// # Errors
    /// The refusal to send.
    pub async fn route(&self, request: Request<Incoming>, line: &Line) -> Answer {
        let sender = authorize::sender(request.headers(), &self.users, &self.store)?;
        line.known();
        let flow = self.limits.flow(&sender.name);
        flow.enter().await?;
        let user = authorize::speaks_for(request.headers(), sender, &self.store)?;
        authorize::check(&request, &user, &self.store)?;
        // What goes on counts apart: it would fill the turns of what does not.
        let query = Query::parse(request.uri().query());
        let upgrade = request.headers().contains_key(header::UPGRADE);
        let proxied = path::proxied(request.uri().path()).is_some();
        if !upgrade && !proxied && !query.flag("watch")? && !query.flag("follow")? {
            return self.serve(request, user, &flow, line).await;
        }
        let place = flow.stream()?;
        let response = self.serve(request, user, &flow, line).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            line.keep(Box::new(place));
            return Ok(response);
        }
        Ok(respond::holding(response, place))
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        user: User,
        flow: &Flow,
        line: &Line,
    ) -> Answer {
        let target =
            path::parse(&self.store, request.uri().path()).ok_or_else(ApiError::no_such_path)?;
        let query = Query::parse(request.uri().query());
        if let Target::Object {
            resource,
            namespace,
            name,
            subresource: Some(part),
        } = &target
            && streams::serves(*resource, part)
        {
            let key = Key::new(*resource, namespace, name);
            let _turn = flow.turn().await?;
            return streams::answer(self, &key, part, &query, flow, request).await;
        }
        let (head, body) = request.into_parts();
        // A client that takes its time for this takes nobody's turn.
        let mut room = flow.room();
        let receiving = line.receiving();
        let body = request::read_body(body, &mut room).await?;
        drop(receiving);
        let _turn = flow.turn().await?;
        let call = Call {
            method: head.method.clone(),
            query,
            head,
            user,
        };
        match target {
            Target::Collection {
                resource,
                namespace,
            } => self.collection(resource, namespace, &call, &body),
            Target::Object {
                resource,
                namespace,
                name,
                subresource,
            } => {
                let key = Key::new(resource, namespace, name);
                self.object(&key, subresource.as_deref(), &call, &body)
                    .await
            }
            Target::Review(review) => {
                if call.method != Method::POST {
                    return Err(ApiError::method_not_allowed());
                }
                let question = request::parse_object(call.content_type(), &body)?;
                let answer = reviews::review(&self.store, &call.user, &review, question)?;
                Ok(respond::json(StatusCode::CREATED, &answer))
            }
            Target::Metrics(question) => {
                if call.method != Method::GET || call.query.flag("watch")? {
                    return Err(ApiError::method_not_allowed());
                }
                let (node, headers) = (self.node.as_ref(), &call.head.headers);
                let answer = metrics::answer(&question, &self.store, node, &call.query, headers)?;
                Ok(respond::json(StatusCode::OK, &answer))
            }
            document => self.document(&document, &call),
        }
    }

    /// What the server says of itself.
    fn document(&self, target: &Target, call: &Call) -> Answer {
        if call.method != Method::GET {
            return Err(ApiError::method_not_allowed());
        }
        let found = match target {
            Target::Health => {
                return Ok(respond::typed(StatusCode::OK, "text/plain", "ok"));
            }
            Target::Version => Some(version()),
            Target::CoreVersions | Target::Groups => {
                let core = *target == Target::CoreVersions;
                if call.accepts_aggregated() {
                    let document = discovery::aggregated(&self.store.kinds(), core).to_string();
                    return Ok(respond::typed(
                        StatusCode::OK,
                        discovery::AGGREGATED,
                        document,
                    ));
                }
                Some(if core {
                    discovery::core_versions(&self.address)
                } else {
                    discovery::group_list(&self.store.kinds())
                })
            }
            Target::Group(name) => discovery::group(&self.store.kinds(), name),
            Target::GroupVersion { group, version } => {
                discovery::resource_list(&self.store.kinds(), group, version)
            }
            Target::OpenApi(None) => Some(openapi::index(&self.store)),
            Target::OpenApi(Some(path)) => {
                let text = openapi::find(&self.store, path).ok_or_else(ApiError::no_such_path)?;
                return Ok(respond::typed(StatusCode::OK, "application/json", text));
            }
            Target::Review(_)
            | Target::Metrics(_)
            | Target::Collection { .. }
            | Target::Object { .. } => None,
        };
        let found = found.ok_or_else(ApiError::no_such_path)?;
        Ok(respond::json(StatusCode::OK, &found))
    }

    fn collection(
        &self,
        resource: Resource,
        namespace: Option<String>,
        call: &Call,
        body: &[u8],
    ) -> Answer {
        let presenter = Presenter::new(&self.store, resource, &call.head.headers, &call.query)?;
        match call.method {
            Method::GET => {
                let filter = Filter::parse(resource, namespace, &call.query)?;
                if call.query.flag("watch")? {
                    let stop = self.stop.clone();
                    let lines =
                        watch::start(&self.store, resource, filter, &call.query, presenter, stop)?;
                    return Ok(respond::stream("application/json", lines));
                }
                let list = read::list(&self.store, resource, &filter, &call.query, &presenter)?;
                Ok(respond::written(StatusCode::OK, list))
            }
            Method::POST if discovery::verbs(resource).contains(&"create") => {
                let object = call.object(body)?;
                let options = call.options()?;
                let namespace = namespace.as_deref();
                let written = write::create(&self.store, resource, namespace, object, &options)?;
                Ok(written_answer(StatusCode::CREATED, &written, &presenter))
            }
            Method::DELETE
                if discovery::verbs(resource).contains(&"deletecollection")
                    && namespace.is_some() == resource.names().namespaced =>
            {
                let filter = Filter::parse(resource, namespace, &call.query)?;
                let options = request::parse_object(call.content_type(), body)?;
                let (store, query) = (&self.store, &call.query);
                let deleted =
                    delete::collection(store, resource, &filter, query, options.as_ref())?;
                let meta = ListMeta {
                    rv: store.rv(),
                    ..ListMeta::default()
                };
                let list = presenter.list(&deleted, &meta)?;
                Ok(respond::written(StatusCode::OK, list))
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    async fn object(
        &self,
        key: &Key,
        subresource: Option<&str>,
        call: &Call,
        body: &[u8],
    ) -> Answer {
        let served = |name| {
            let parts = discovery::subresources(key.resource);
            parts.into_iter().find(|part| part.name == name)
        };
        match subresource {
            None => self.whole(key, call, body),
            Some(name) if served(name).is_none() => Err(ApiError::no_such_path()),
            Some("status") => self.part(key, Part::Status, call, body),
            Some("scale") => self.scale(key, call, body),
            Some("log") if call.method == Method::GET => self.log(key, &call.query).await,
            Some("eviction") if call.method == Method::POST => {
                let eviction = request::parse_object(call.content_type(), body)?;
                evict::evict(&self.store, key, &call.query, eviction)?;
                let done = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {},
                    "status": "Success", "code": 201,
                });
                Ok(respond::json(StatusCode::CREATED, &done))
            }
            Some("token") if call.method == Method::POST => {
                let question = request::parse_object(call.content_type(), body)?;
                let answer = reviews::token(&self.store, &self.users, key, question)?;
                Ok(respond::json(StatusCode::CREATED, &answer))
            }
            Some(_) => Err(ApiError::method_not_allowed()),
        }
    }

    fn whole(&self, key: &Key, call: &Call, body: &[u8]) -> Answer {
        if call.method != Method::DELETE {
            return self.part(key, Part::Main, call, body);
        }
        if !discovery::verbs(key.resource).contains(&"delete") {
            return Err(ApiError::method_not_allowed());
        }
        let options = request::parse_object(call.content_type(), body)?;
        let (object, gone) = delete::one(&self.store, key, &call.query, options.as_ref())?;
        if !gone {
            let presenter =
                Presenter::new(&self.store, key.resource, &call.head.headers, &call.query)?;
            return Ok(respond::json(StatusCode::OK, &presenter.object(&object)));
        }
        let names = key.resource.names();
        let mut details = json!({
            "name": key.name, "kind": names.plural, "uid": object["metadata"]["uid"],
        });
        if !names.group.is_empty() {
            details["group"] = json!(names.group);
        }
        let done = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Success", "details": details,
        });
        Ok(respond::json(StatusCode::OK, &done))
    }

    /// Reads or changes an object, or its status.
    fn part(&self, key: &Key, part: Part, call: &Call, body: &[u8]) -> Answer {
        let presenter = Presenter::new(&self.store, key.resource, &call.head.headers, &call.query)?;
        let written = match call.method {
            Method::GET => {
                let object = read::get(&self.store, key)?;
                return Ok(respond::json(StatusCode::OK, &presenter.object(&object)));
            }
            Method::PUT => {
                let options = call.options()?;
                write::replace(&self.store, key, part, call.object(body)?, &options)?
            }
            Method::PATCH => {
                let options = call.options()?;
                let patch = Patch::parse(call.content_type(), body)?;
                if let Patch::Apply(config) = &patch {
                    let force = call.force()?;
                    let (written, created) =
                        write::apply(&self.store, key, part, config, force, &options)?;
                    let code = if created {
                        StatusCode::CREATED
                    } else {
                        StatusCode::OK
                    };
                    return Ok(written_answer(code, &written, &presenter));
                }
                call.no_force()?;
                write::patch(&self.store, key, part, &patch, &options)?
            }
            _ => return Err(ApiError::method_not_allowed()),
        };
        Ok(written_answer(StatusCode::OK, &written, &presenter))
    }

    fn scale(&self, key: &Key, call: &Call, body: &[u8]) -> Answer {
        let options = call.options()?;
        let replicas = key.resource.about().scale;
        let replicas = &replicas.ok_or_else(ApiError::no_such_path)?;
        let written = match call.method {
            Method::GET => {
                let object = read::get(&self.store, key)?;
                return Ok(respond::json(StatusCode::OK, &scale::of(&object, replicas)));
            }
            Method::PUT => {
                let new = call.object(body)?;
                scale::change(&self.store, key, replicas, &options, |scale| {
                    *scale = new;
                    Ok(())
                })?
            }
            Method::PATCH => {
                let patch = Patch::parse(call.content_type(), body)?;
                if let Patch::Apply(config) = &patch {
                    let wanted = scale::wanted(key, replicas, config)?;
                    let force = call.force()?;
                    let part = Part::Scale;
                    write::apply(&self.store, key, part, &wanted, force, &options)?.0
                } else {
                    call.no_force()?;
                    let place = Place::builtin("autoscaling", "v1", "Scale");
                    let edit = |scale: &mut Value| patch.change(scale, place);
                    scale::change(&self.store, key, replicas, &options, edit)?
                }
            }
            _ => return Err(ApiError::method_not_allowed()),
        };
        Ok(respond::json(
            StatusCode::OK,
            &scale::of(&written.object, replicas),
        ))
    }

    async fn log(&self, key: &Key, query: &Query) -> Answer {
        let pod = read::get(&self.store, key)?;
        let options = logs::Options::parse(query)?;
        let container = logs::container(&pod, query.get("container"))?;
        reach::log(self.node.as_ref(), &pod, container)?;
        let stop = self.stop.clone();
        let text = logs::open(self.node.as_ref(), &pod, container, options, stop).await?;
        Ok(respond::stream("text/plain", text))
    }
}

impl Call {
    fn content_type(&self) -> &str {
        request::content_type(&self.head.headers)
    }

    fn object(&self, body: &[u8]) -> Result<Value, ApiError> {
        let object = request::parse_object(self.content_type(), body)?;
        object.ok_or_else(|| ApiError::bad_request("the request body is empty"))
    }

    fn options(&self) -> Result<Options, ApiError> {
        Options::parse(&self.query, &self.head.headers)
    }

    /// Whether what is applied wins over others; who applies must say who it is.
    fn force(&self) -> Result<bool, ApiError> {
        if self.query.get("fieldManager").is_none() {
            let missing = FieldError::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid_options("PatchOptions", &missing));
        }
        self.query.flag("force")
    }

    /// Other patches win anyway.
    fn no_force(&self) -> Result<(), ApiError> {
        if self.query.all("force").next().is_none() {
            return Ok(());
        }
        let detail = "may not be specified for non-apply patch";
        let error = FieldError::forbidden("force", detail);
        Err(ApiError::invalid_options("PatchOptions", &error))
    }

    /// Whether the client wants discovery in one document.
    fn accepts_aggregated(&self) -> bool {
        let values = self.head.headers.get_all(header::ACCEPT);
        let ranges = values.iter().filter_map(|value| value.to_str().ok());
        ranges.flat_map(|value| value.split(',')).any(|range| {
            let mut parts: Vec<&str> = range.split(';').map(str::trim).collect();
            parts.sort_unstable();
            let mut wanted: Vec<&str> = discovery::AGGREGATED.split(';').collect();
            wanted.sort_unstable();
            parts == wanted
        })
    }
}

fn written_answer(code: StatusCode, written: &Written, presenter: &Presenter) -> Response<Body> {
    let mut response = respond::json(code, &presenter.object(&written.object));
    for warning in &written.warnings {
        let text = format!(
            "299 - \"{}\"",
            warning.replace('\\', "\\\\").replace('"', "\\\"")
        );
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, arch()),
    })
}

/// The processor as Kubernetes calls it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
