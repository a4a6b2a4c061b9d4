//! The cluster's name server: what a service, or a pod behind a headless one,
//! is called. It speaks DNS as CoreDNS does in a real cluster, for addresses
//! (A) and aliases (CNAME), and refuses names of the rest of the world, which
//! pods cannot reach.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use simple_dns::rdata::{A, CNAME, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::nat::Nat;
use super::services::Services;

/// What all names of a cluster end in.
pub(super) const DOMAIN: &str = "cluster.local";

/// For how many seconds an answer may be remembered: CoreDNS says 30, but here
/// pods come and go while somebody watches.
const SECONDS: u32 = 5;

/// The longest answer over UDP for a client that does not say what it takes.
const SHORT: usize = 512;

/// The longest answer over UDP at all, as CoreDNS has it.
const LONG: usize = 4096;

/// How long a client over TCP may take for a question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers questions, for ever.
pub(super) async fn serve(
    datagrams: UdpSocket,
    connections: TcpListener,
    nat: Arc<Nat>,
) -> io::Result<()> {
    let mut question = vec![0; LONG];
    loop {
        tokio::select! {
            received = datagrams.recv_from(&mut question) => {
                // An error is about an earlier answer that nobody took.
                let Ok((length, client)) = received else { continue };
                let answer = answer(&question[..length], &nat.services(), None);
                if let Some(answer) = answer {
                    // Whoever gets none asks again.
                    let _ = datagrams.send_to(&answer, client).await;
                }
            }
            accepted = connections.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(converse(stream, Arc::clone(&nat)));
            }
        }
    }
}

async fn converse(mut stream: TcpStream, nat: Arc<Nat>) {
    loop {
        let read = async {
            let length = stream.read_u16().await?;
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await?;
            io::Result::Ok(question)
        };
        let Ok(Ok(question)) = tokio::time::timeout(PATIENCE, read).await else {
            return;
        };
        let answer = answer(&question, &nat.services(), Some(usize::from(u16::MAX)));
        let Some(answer) = answer else { return };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend(answer);
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

/// What is known of a name.
enum Known<'a> {
    Addresses(&'a [Ipv4Addr]),
    Alias(&'a str),
    /// It exists, or names below it do.
    Nothing,
    /// There is no such name.
    Unknown,
    /// It belongs to the rest of the world.
    Elsewhere,
}

fn look<'a>(name: &str, services: &'a Services) -> Known<'a> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name == DOMAIN {
        return Known::Nothing;
    }
    let Some(inside) = name
        .strip_suffix(DOMAIN)
        .and_then(|it| it.strip_suffix('.'))
    else {
        return Known::Elsewhere;
    };
    if let Some(addresses) = services.named(inside) {
        Known::Addresses(addresses)
    } else if let Some(alias) = services.alias(inside) {
        Known::Alias(alias)
    } else if services.has_below(inside) {
        Known::Nothing
    } else {
        Known::Unknown
    }
}

/// The answer to a question of at most so many bytes; without a number as many
/// as the question allows. None to what is no question.
fn answer(question: &[u8], services: &Services, most: Option<usize>) -> Option<Vec<u8>> {
    let question = Packet::parse(question).ok()?;
    if question.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let extended = question.opt().cloned();
    let allowed = extended.as_ref().map_or(SHORT, |opt| {
        usize::from(opt.udp_packet_size).clamp(SHORT, LONG)
    });
    let recursion = question.has_flags(PacketFlag::RECURSION_DESIRED);
    let mut reply = question.into_reply();
    reply.additional_records.clear();
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    if recursion {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    if let Some(mut opt) = extended {
        opt.opt_codes.clear();
        opt.udp_packet_size = LONG as u16;
        *reply.opt_mut() = Some(opt);
    }
    *reply.rcode_mut() = fill(&mut reply, services);
    let whole = reply.build_bytes_vec_compressed().ok()?;
    if whole.len() <= most.unwrap_or(allowed) {
        return Some(whole);
    }
    // The client asks again over TCP.
    reply.answers.clear();
    reply.set_flags(PacketFlag::TRUNCATION);
    reply.build_bytes_vec_compressed().ok()
}

fn fill(reply: &mut Packet<'_>, services: &Services) -> RCODE {
    if reply.opcode() != OPCODE::StandardQuery {
        return RCODE::NotImplemented;
    }
    let [question] = reply.questions.as_slice() else {
        return RCODE::FormatError;
    };
    let name = question.qname.clone().into_owned();
    let wants = |kind| question.qtype == QTYPE::TYPE(kind) || question.qtype == QTYPE::ANY;
    let (wants_address, wants_alias) = (wants(TYPE::A), wants(TYPE::A) || wants(TYPE::CNAME));
    let record = |data| ResourceRecord::new(name.clone(), CLASS::IN, SECONDS, data);
    match look(&name.to_string(), services) {
        Known::Addresses(addresses) if wants_address => {
            // In another order each time, so that clients spread.
            let mut addresses = addresses.to_vec();
            fastrand::shuffle(&mut addresses);
            let records = addresses
                .into_iter()
                .map(|it| record(RData::A(A::from(it))));
            reply.answers.extend(records);
            RCODE::NoError
        }
        Known::Alias(alias) if wants_alias || wants(TYPE::AAAA) => match Name::new(alias) {
            Ok(alias) => {
                let alias = record(RData::CNAME(CNAME(alias.into_owned())));
                reply.answers.push(alias);
                RCODE::NoError
            }
            Err(_) => RCODE::ServerFailure,
        },
        Known::Addresses(_) | Known::Alias(_) | Known::Nothing => RCODE::NoError,
        Known::Unknown => RCODE::NameError,
        Known::Elsewhere => RCODE::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use simple_dns::{QCLASS, Question};

    fn services() -> Services {
        let service = |name: &str, spec| json!({"metadata": {"namespace": "default", "name": name}, "spec": spec});
        let many: Vec<_> = (1..=60)
            .map(|last| json!({"addresses": [format!("10.244.0.{last}")], "hostname": format!("db-{last}")}))
            .collect();
        let slice = json!({
            "metadata": {"namespace": "default", "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": many,
        });
        let services = [
            service(
                "web",
                json!({"clusterIP": "10.96.3.4", "ports": [{"port": 80}]}),
            ),
            service("db", json!({"clusterIP": "None"})),
            service(
                "far",
                json!({"type": "ExternalName", "externalName": "example.org"}),
            ),
        ];
        Services::read(&services, [&slice])
    }

    fn ask(name: &str, kind: TYPE, tcp: bool) -> (RCODE, Vec<String>, bool) {
        let mut packet = Packet::new_query(7);
        let name = Name::new(name).unwrap();
        let question = Question::new(name, kind.into(), QCLASS::CLASS(CLASS::IN), false);
        packet.questions.push(question);
        let bytes = packet.build_bytes_vec().unwrap();
        let most = tcp.then_some(65_535);
        let reply = answer(&bytes, &services(), most).unwrap();
        let reply = Packet::parse(&reply).unwrap();
        assert_eq!((reply.id(), reply.questions.len()), (7, 1));
        let answers = reply.answers.iter().map(|it| match &it.rdata {
            RData::A(a) => Ipv4Addr::from(a.address).to_string(),
            RData::CNAME(CNAME(name)) => name.to_string(),
            other => panic!("{other:?}"),
        });
        let cut = reply.has_flags(PacketFlag::TRUNCATION);
        (reply.rcode(), answers.collect(), cut)
    }

    #[test]
    fn names_of_services_and_pods_are_answered() {
        let a = |name| ask(name, TYPE::A, false);
        let one = |text: &str| (RCODE::NoError, vec![text.to_owned()], false);
        let none = |code| (code, Vec::new(), false);
        assert_eq!(a("web.default.svc.cluster.local"), one("10.96.3.4"));
        assert_eq!(a("WEB.Default.svc.cluster.local"), one("10.96.3.4"));
        assert_eq!(a("db-7.db.default.svc.cluster.local"), one("10.244.0.7"));
        assert_eq!(a("far.default.svc.cluster.local"), one("example.org"));
        assert_eq!(
            a("nobody.default.svc.cluster.local"),
            none(RCODE::NameError)
        );
        assert_eq!(
            a("web.default.svc.cluster.local.default.svc.cluster.local"),
            none(RCODE::NameError)
        );
        assert_eq!(a("default.svc.cluster.local"), none(RCODE::NoError));
        assert_eq!(a("cluster.local"), none(RCODE::NoError));
        assert_eq!(a("example.com"), none(RCODE::Refused));
        // There is no IPv6, but the name is there.
        assert_eq!(
            ask("web.default.svc.cluster.local", TYPE::AAAA, false),
            none(RCODE::NoError)
        );
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_asked_again() {
        let (code, answers, cut) = ask("db.default.svc.cluster.local", TYPE::A, false);
        assert_eq!((code, answers.len(), cut), (RCODE::NoError, 0, true));
        let (code, answers, cut) = ask("db.default.svc.cluster.local", TYPE::A, true);
        assert_eq!((code, answers.len(), cut), (RCODE::NoError, 60, false));
    }

    proptest! {
        #[test]
        fn nothing_that_a_pod_asks_breaks_the_server(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&bytes, &Services::default(), None);
        }
    }
}
