//! Browser: pages as a reader's browser shows them, in headless Chromium.
//!
//! A keeper (a small shell script) owns ChromeDriver and its profiles. When the test process is gone, however
//! it went, the keeper's standard input ends; it then stops the browser and removes what was written.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use songkhao::http;
use thirtyfour::ChromiumLikeCapabilities;
use thirtyfour::DesiredCapabilities;
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::WebDriver;
use thirtyfour::cdp::domains::page::CaptureScreenshot;
use thirtyfour::error::WebDriverResult;

/// A window of a browser of its own: no cookies, no cache. It ends with [`Page::close`], or with this value.
#[derive(Debug)]
pub struct Page {
    driver: WebDriver,
}

/// The height of every window, in CSS pixels; pictures show the whole page all the same.
const HEIGHT: u32 = 844;

/// What a browser in a test must be told: it runs as root in a closed network, with little shared memory.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Opens `url` in a window that is `width` CSS pixels wide, 390 as on a phone or 1280 as on a desk.
///
/// # Panics
/// When the browser isn't installed or the page can't be loaded; the text says what to do.
pub async fn open(url: &str, width: u32) -> Page {
    http::install_tls();
    let driver = match &*DRIVER {
        Ok(driver) => driver,
        Err(reason) => panic!("{reason}"),
    };
    let wanted = capabilities(width).unwrap();
    let driver = WebDriver::new(format!("http://127.0.0.1:{}", driver.port), wanted).await.unwrap();
    driver.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    Page { driver }
}

impl Page {
    /// Draws the whole page to `target/screenshots/NAME.png` for people to look at.
    pub async fn draw(&self, name: &str) -> PathBuf {
        let whole = CaptureScreenshot { capture_beyond_viewport: Some(true), ..CaptureScreenshot::default() };
        let picture = self.driver.cdp().send(whole).await.unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name).with_extension("png");
        fs::write(&path, STANDARD.decode(picture.data).unwrap()).unwrap();
        path
    }

    /// What the browser complained about since the last call: script errors, refused loads, missing files.
    pub async fn complaints(&self) -> Vec<String> {
        self.driver.browser_log().await.unwrap().into_iter().map(|entry| entry.message).collect()
    }

    /// Ends the browser.
    pub async fn close(self) {
        self.driver.quit().await.unwrap();
    }
}

impl Deref for Page {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.driver
    }
}

fn capabilities(width: u32) -> WebDriverResult<thirtyfour::ChromeCapabilities> {
    let mut chrome = DesiredCapabilities::chrome();
    chrome.set_binary("/usr/bin/chromium")?;
    for flag in FLAGS {
        chrome.add_arg(flag)?;
    }
    // A window can't be narrower than 500 pixels, an emulated screen can.
    let screen = serde_json::json!({ "width": width, "height": HEIGHT, "pixelRatio": 1.0, "mobile": false, "touch": false });
    chrome.add_experimental_option("mobileEmulation", serde_json::json!({ "deviceMetrics": screen }))?;
    chrome.set_browser_log_level(LoggingPrefsLogLevel::Warning)?;
    Ok(chrome)
}

/// The one ChromeDriver of this process.
static DRIVER: LazyLock<Result<Driver, String>> = LazyLock::new(|| {
    Driver::start().map_err(|error| format!("{error}; run `scripts/setup test`, then try again"))
});

struct Driver {
    port: u16,
    /// Kept open: the keeper waits for the end of one, ChromeDriver writes to the other.
    _orders: ChildStdin,
    _answers: BufReader<ChildStdout>,
}

/// Shuts ChromeDriver down by its own command, for a signal would leave its browsers running.
/// Profiles go to a folder of the keeper's, so that a killed test leaves none behind.
const KEEPER: &str = r#"
folder=$(mktemp -d /tmp/songkhao-browser-XXXXXX)
TMPDIR=$folder chromedriver --port=0 2>&1 &
exec >/dev/null 2>&1
read -r port
cat
exec 3<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /shutdown HTTP/1.1\r\nHost: localhost\r\n\r\n' >&3
wait
rm -rf "$folder"
"#;

impl Driver {
    fn start() -> io::Result<Driver> {
        let mut keeper = Command::new("bash")
            .args(["-c", KEEPER])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(mut orders), Some(answers)) = (keeper.stdin.take(), keeper.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (mut answers, mut said) = (BufReader::new(answers), String::new());
        while answers.read_line(&mut said)? > 0 {
            if let Some((_, port)) = said.rsplit_once("started successfully on port ")
                && let Ok(port) = port.trim_end_matches(['.', '\n']).parse()
            {
                writeln!(orders, "{port}")?;
                return Ok(Driver { port, _orders: orders, _answers: answers });
            }
        }
        Err(io::Error::other(format!("ChromeDriver did not start: {said}")))
    }
}

mod tests {
    use std::net::TcpListener;

    use super::*;

    const PAGE: &str = "<!doctype html><html lang=th><meta charset=utf-8><title>ส่งข่าว</title>\
        <meta name=viewport content='width=device-width'>\
        <body><h1>ข่าวที่นี่ ก่อนกำหนด</h1><p id=tall style='height:2000px'>กขค</p>";

    #[tokio::test]
    async fn a_page_is_as_wide_as_asked_and_drawn_whole() {
        let url = serve(PAGE);
        for width in [390, 1280] {
            let page = open(&url, width).await;
            assert_eq!(page.title().await.unwrap(), "ส่งข่าว");
            let wide = page.execute("return window.innerWidth", vec![]).await.unwrap();
            assert_eq!(wide.convert::<u32>().unwrap(), width);
            let path = page.draw(&format!("harness-{width}")).await;
            assert_eq!(page.complaints().await, Vec::<String>::new());
            page.close().await;
            let picture = std::fs::read(path).unwrap();
            // A PNG's width and height are its bytes 16 to 23, most significant first.
            assert_eq!(&picture[16..20], width.to_be_bytes());
            assert!(u32::from_be_bytes(picture[20..24].try_into().unwrap()) > 2000);
        }
    }

    #[tokio::test]
    async fn thai_letters_are_drawn_not_boxes() {
        let page = open(&serve(PAGE), 390).await;
        let differ = "const draw = letter => {
                const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
                pen.font = '40px sans-serif';
                pen.fillText(letter, 10, 50);
                return canvas.toDataURL();
            };
            return draw('ก') !== draw('ฮ');";
        assert!(page.execute(differ, vec![]).await.unwrap().convert::<bool>().unwrap());
        page.close().await;
    }

    #[tokio::test]
    async fn a_script_that_fails_is_a_complaint() {
        let page = open(&serve("<!doctype html><script>nothing.here()</script>"), 390).await;
        let complaints = page.complaints().await;
        assert!(complaints.iter().any(|line| line.contains("nothing is not defined")), "{complaints:?}");
        page.close().await;
    }

    /// Serves one page at every address, until the process ends.
    fn serve(page: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap_or(0) > 2 {
                    line.clear();
                }
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n";
                // A browser may have gone away; the next one is served all the same.
                let _gone = write!(stream.get_mut(), "{head}Content-Length: {}\r\n\r\n{page}", page.len());
            }
        });
        url
    }
}
