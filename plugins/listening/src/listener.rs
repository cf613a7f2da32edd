//! Binds, accepts within the bounds, and stops.

use crate::{
    Limits, Respond,
    connection::{Shared, serve},
    lanes::{Lane, Lanes},
};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
};

/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 4096;
/// The wait after a failed accept, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
}

/// A listener at work, on threads of its own. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Serving {
    lanes: Lanes,
    stop: watch::Sender<bool>,
    permits: Arc<Semaphore>,
    connections: usize,
    address: SocketAddr,
}

impl Listener {
    /// Binds the first address that can be bound; port 0 is any free one.
    ///
    /// # Errors
    /// That of the last address: in use, not permitted, not found.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
        for address in address.to_socket_addrs()? {
            match bind(address) {
                Ok(socket) => return Ok(Self { socket }),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The address with its port.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The same socket once more: it stays bound, and clients wait, while nobody serves it.
    ///
    /// # Errors
    /// The system's, for want of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()? })
    }

    /// Serves endpoints, such as those of a router, on so many threads, at least one.
    ///
    /// # Errors
    /// The system's, when threads cannot be started.
    pub fn serve(self, endpoints: impl Respond, limits: &Limits, threads: usize) -> io::Result<Serving> {
        let lanes = Lanes::start(threads.max(1))?;
        let address = self.local_address()?;
        let first = lanes.first();
        let socket = {
            let _entered = first.handle.enter();
            TcpListener::from_std(self.socket)?
        };
        let connections = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let (stop, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(connections));
        let shared = Shared { endpoints, limits: limits.clone(), crowded: Notify::new() };
        let loops = Accepting {
            shared: Arc::new(shared),
            lanes: lanes.all(),
            permits: Arc::clone(&permits),
            addresses: Arc::default(),
            stopped,
        };
        first.handle.spawn(loops.run(socket));
        Ok(Serving { lanes, stop, permits, connections, address })
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Serving {
    /// The address that is served.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, closes idle connections, lets requests under way finish for so long, and ends the threads.
    /// True when all of them finished. Not to be called on a thread of an async runtime.
    pub fn stop(self, grace: Duration) -> bool {
        // Nobody may listen any more.
        let _ = self.stop.send(true);
        let all = u32::try_from(self.connections).unwrap_or(u32::MAX);
        let finished = async { tokio::time::timeout(grace, self.permits.acquire_many(all)).await.is_ok() };
        let finished = self.lanes.first().handle.block_on(finished);
        self.lanes.end();
        finished
    }
}

/// The accept loop.
struct Accepting<R> {
    shared: Arc<Shared<R>>,
    lanes: Vec<Lane>,
    permits: Arc<Semaphore>,
    addresses: Addresses,
    stopped: watch::Receiver<bool>,
}

impl<R: Respond> Accepting<R> {
    async fn run(self, socket: TcpListener) {
        loop {
            let mut stopped = self.stopped.clone();
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                accepted = self.next(&socket) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else { return };
            let Some(place) = Place::take(&self.addresses, peer.ip(), self.shared.limits.per_address) else {
                continue;
            };
            // Answers are small and complete; a late acknowledgement must not hold them.
            let _ = stream.set_nodelay(true);
            let (shared, stopped) = (Arc::clone(&self.shared), self.stopped.clone());
            // A connection moves to the thread that has the fewest, and stays there.
            let (Ok(stream), Some(lane)) = (stream.into_std(), lightest(&self.lanes)) else { continue };
            let taken = lane.take();
            lane.handle.spawn(async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    serve(stream, peer, shared, stopped).await;
                }
                drop((place, permit, taken));
            });
        }
    }

    /// The next connection and its permit; while there is none left, one that idles is asked to end.
    async fn next(&self, socket: &TcpListener) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let (stream, peer) = loop {
            match socket.accept().await {
                Ok(accepted) => break accepted,
                Err(error) if gone(&error) => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some((stream, peer, permit));
        }
        self.shared.crowded.notify_one();
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        Some((stream, peer, permit))
    }
}

fn lightest(lanes: &[Lane]) -> Option<&Lane> {
    lanes.iter().min_by_key(|lane| lane.taken())
}

/// The client went away before it was accepted: no reason to pause.
fn gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Connections by address.
type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection of an address; dropping it gives the place back.
struct Place {
    addresses: Addresses,
    ip: IpAddr,
}

impl Place {
    /// A place, unless the address has so many already; 0 is no bound, and then nothing is counted.
    fn take(addresses: &Addresses, ip: IpAddr, most: usize) -> Option<Option<Self>> {
        if most == 0 {
            return Some(None);
        }
        let mut counts = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Some(Self { addresses: Arc::clone(addresses), ip }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}
