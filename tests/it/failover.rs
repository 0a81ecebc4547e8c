//! Failover: a replica that lacks the newest commits takes over in the middle of the work.
//!
//! What the old server knew and the new one doesn't was posted all the same; songkhao finds it again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use songkhao::model::account::Platform;

use crate::arena::Arena;
use crate::arena::Node;
use crate::cluster::Cluster;
use crate::torture;
use crate::torture::Verdict;

impl Cluster {
    /// Makes and starts a replica, which follows asynchronously. Its databases are those of this server.
    ///
    /// # Panics
    /// When it can't be made.
    #[track_caller]
    pub fn replica(&self) -> Cluster {
        let replica = Cluster::prepare(&self.programs).and_then(|replica| {
            fs::write(replica.folder.join("primary"), self.folder.as_os_str().as_encoded_bytes())
                .map_err(|error| error.to_string())?;
            replica.order("copy")?;
            replica.order("start")?;
            Ok(replica)
        });
        replica.unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// Makes a replica the one that takes writes.
    ///
    /// # Panics
    /// When it won't.
    #[track_caller]
    pub fn promote(&self) {
        self.order("promote").unwrap_or_else(|reason| panic!("{reason}"));
    }
}

/// An address that leads to whichever server it is pointed at.
struct Pointer {
    link: PathBuf,
}

impl Pointer {
    fn to(arena: &Arena, cluster: &Cluster) -> Pointer {
        let pointer = Pointer { link: arena.folder().join("server") };
        symlink(cluster.folder(), &pointer.link).unwrap();
        pointer
    }

    fn turn(&self, cluster: &Cluster) {
        let fresh = self.link.with_extension("new");
        symlink(cluster.folder(), &fresh).unwrap();
        fs::rename(&fresh, &self.link).unwrap();
    }

    fn url(&self, cluster: &Cluster) -> String {
        let own = cluster.database_url();
        own.replace(cluster.folder().to_str().unwrap(), self.link.to_str().unwrap())
    }
}

async fn await_published(arena: &Arena, node: &Node, posts: usize) {
    let patience = Instant::now() + Duration::from_secs(60);
    while arena.sandbox.published().len() < posts {
        assert!(Instant::now() < patience, "{:?}\n{}", node.posts(), node.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_promoted_replica_lacks_is_not_posted_again() {
    let arena = Arena::new().await;
    let primary = Cluster::new();
    let pointer = Pointer::to(&arena, &primary);
    let url = pointer.url(&primary);
    let mut nodes = [arena.node("a", &url), arena.node("b", &url)];
    nodes.iter_mut().for_each(Node::start);
    let mut links = vec![arena.publish(1)];
    await_published(&arena, &nodes[0], 3).await;
    let replica = primary.replica();
    links.push(arena.publish(2));
    await_published(&arena, &nodes[0], 6).await;

    // From here on nothing reaches the replica any more, and the work goes on.
    replica.psql("ALTER SYSTEM SET primary_conninfo = ''");
    replica.psql("SELECT pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(500)).await;
    links.extend((3..=5).map(|number| arena.publish(number)));
    await_published(&arena, &nodes[0], 12).await;
    // One node goes with the server, and with it all memory of what it sent.
    nodes[1].kill();
    primary.stop();
    replica.promote();
    pointer.turn(&replica);
    nodes[1].start();
    // It comes so soon that it might be of the forgotten time; it is not, and goes out all the same.
    links.push(arena.publish(6));
    for node in &nodes {
        node.await_readiness(None).await;
    }
    let rows = torture::calm(&nodes[0], links.len()).await;
    let verdict = Verdict::of(&links, &arena.sandbox.published(), &rows, &nodes[0]);
    println!("{verdict}");
    assert!(verdict.is_true(), "{verdict:#?}\n{}\n{}", nodes[0].log(), nodes[1].log());
    // LINE has no list: what it may have got in the forgotten time is for a person.
    let on_line = |what: &&String| what.starts_with(Platform::Line.name());
    assert_eq!(verdict.parked.iter().filter(on_line).count(), verdict.parked.len(), "{verdict:#?}");
    assert!(!verdict.parked.is_empty() && verdict.parked.len() <= 4, "{verdict:#?}");
    let told = String::from_utf8_lossy(&nodes[0].run(&["audit", "export"]).stdout).into_owned();
    assert_eq!(told.matches("\"gap.found\"").count(), 1, "one node notes the gap, once");
    assert!(told.contains("server_before"), "{told}");
    nodes.iter_mut().for_each(Node::stop);
}
