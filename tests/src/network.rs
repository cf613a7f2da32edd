//! Ports for tests, and a network that loses answers.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};

/// A free port that no client is given for a connection of its own.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    let mut ports =
        std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000).take(500);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// An address that passes everything on to a port, and of each connection loses the third answer: what was asked has
/// happened, and who asked cannot know. With it, how many were lost.
pub fn forgetful(port: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("a port"));
    let lost = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&lost);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || pass_on(client, port, &counter));
        }
    });
    (address, lost)
}

/// Ends when either side does; dropping both then ends the other direction.
fn pass_on(mut client: TcpStream, port: u16, lost: &AtomicUsize) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (Ok(mut asks), Ok(mut asked)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || {
        // Either end may be gone at any time; that is the point.
        let _ = std::io::copy(&mut asks, &mut asked);
        let _ = asked.shutdown(Shutdown::Both);
    });
    let mut answer = [0; 4096];
    for number in 1.. {
        let read = server.read(&mut answer).unwrap_or(0);
        if number == 3 && read > 0 {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        if number == 3 || read == 0 || client.write_all(&answer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
