//! Picture: paints a small landscape, the same for the same seed.
//!
//! It is a PNG with 16 colours in uncompressed blocks: 170 KB, and no image library is needed to write it.
//! Spec: <https://www.w3.org/TR/png-3/>, RFC 1950, RFC 1951.

/// The size of every picture, within LINE's 1024 px and above Facebook's 600 × 315.
const WIDTH: usize = 800;
const HEIGHT: usize = 420;

/// Sky 0–7 from top to horizon, sun 8, far hills 9, near hills 10, water 11–13, boat 14, spare 15.
type Palette = [[u8; 3]; 16];

/// A PNG of hills over water under the sky of some hour of the day.
pub fn landscape(seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let palette = palette(random.below(5));
    let horizon = HEIGHT * 58 / 100 + random.below(40);
    let sun = (120 + random.below(WIDTH - 240), horizon - 60 - random.below(110), 26 + random.below(22));
    let far = ridge(&mut random, horizon - 60, 46);
    let near = ridge(&mut random, horizon - 14, 26);
    let boat = (140 + random.below(WIDTH - 280), horizon + 50 + random.below(50));
    let mut rows = Vec::with_capacity(HEIGHT * (WIDTH / 2 + 1));
    for y in 0..HEIGHT {
        rows.push(0); // this row is not filtered
        for x in (0..WIDTH).step_by(2) {
            let colour = |x: usize| {
                if in_boat(x, y, boat) {
                    14
                } else if y >= horizon {
                    water(x, y, horizon, sun)
                } else if y >= near[x] {
                    10
                } else if y >= far[x] {
                    9
                } else if x.abs_diff(sun.0).pow(2) + y.abs_diff(sun.1).pow(2) < sun.2 * sun.2 {
                    8
                } else {
                    sky(x, y, horizon)
                }
            };
            rows.push(colour(x) << 4 | colour(x + 1));
        }
    }
    png(&palette, &rows)
}

/// Eight sky colours blended by an ordered dither.
fn sky(x: usize, y: usize, horizon: usize) -> u8 {
    const BAYER: [[usize; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    let level = y * 7 * 16 / horizon.max(1) + BAYER[y % 4][x % 4];
    u8::try_from((level / 16).min(7)).unwrap_or(7)
}

fn water(x: usize, y: usize, horizon: usize, sun: (usize, usize, usize)) -> u8 {
    let depth = y - horizon;
    let shimmer = x.abs_diff(sun.0) < sun.2 + depth / 3 && (y / 3 + x / 23 + x / 7).is_multiple_of(3);
    if shimmer {
        13
    } else if (depth / 6 + x / 61).is_multiple_of(5) {
        12
    } else {
        11
    }
}

/// A long-tail boat: a hull that narrows downwards, and a canopy.
fn in_boat(x: usize, y: usize, (left, top): (usize, usize)) -> bool {
    let hull = (top..top + 16).contains(&y) && {
        let slope = y - top;
        (left + slope * 2..left + 130 - slope).contains(&x)
    };
    let canopy =
        (top.saturating_sub(26)..top.saturating_sub(20)).contains(&y) && (left + 40..left + 100).contains(&x);
    let post = (top.saturating_sub(20)..top).contains(&y)
        && ((left + 46..left + 49).contains(&x) || (left + 91..left + 94).contains(&x));
    hull || canopy || post
}

/// The height of a hill line at every column: a broken line between random points.
fn ridge(random: &mut Random, middle: usize, swing: usize) -> Vec<usize> {
    const STEP: usize = 80;
    let points: Vec<usize> =
        (0..=WIDTH / STEP + 1).map(|_| middle.saturating_sub(swing / 2) + random.below(swing)).collect();
    (0..WIDTH)
        .map(|x| {
            let (at, part) = (x / STEP, x % STEP);
            (points[at] * (STEP - part) + points[at + 1] * part) / STEP
        })
        .collect()
}

fn palette(hour: usize) -> Palette {
    // Top of the sky, horizon, sun, hills, water.
    let tones: [[u8; 3]; 5] = match hour {
        0 => [[58, 92, 158], [252, 196, 140], [255, 236, 180], [62, 74, 104], [86, 108, 150]],
        1 => [[72, 150, 214], [222, 240, 250], [255, 250, 220], [74, 128, 98], [92, 160, 186]],
        2 => [[44, 38, 92], [238, 120, 96], [255, 208, 120], [48, 40, 72], [92, 66, 110]],
        3 => [[110, 132, 152], [206, 214, 218], [240, 240, 232], [84, 104, 102], [120, 142, 152]],
        _ => [[16, 58, 92], [120, 196, 190], [244, 250, 220], [22, 72, 80], [40, 110, 128]],
    };
    let mut palette = [[0; 3]; 16];
    for (at, colour) in palette.iter_mut().enumerate().take(8) {
        *colour = mix(tones[0], tones[1], at, 7);
    }
    palette[8] = tones[2];
    palette[9] = mix(tones[3], tones[1], 1, 3);
    palette[10] = tones[3];
    palette[11] = tones[4];
    palette[12] = mix(tones[4], tones[1], 1, 5);
    palette[13] = mix(tones[4], tones[2], 3, 5);
    palette[14] = mix(tones[3], [20, 16, 16], 3, 4);
    palette
}

/// `part` of `whole` of the way from one colour to another.
fn mix(from: [u8; 3], to: [u8; 3], part: usize, whole: usize) -> [u8; 3] {
    std::array::from_fn(|at| {
        let sum = usize::from(from[at]) * (whole - part) + usize::from(to[at]) * part;
        u8::try_from(sum / whole).unwrap_or(u8::MAX)
    })
}

/// Marsaglia's xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % (limit.max(1) as u64)).unwrap_or_default()
    }
}

fn png(palette: &Palette, rows: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(be32(WIDTH));
    header.extend(be32(HEIGHT));
    header.extend([4, 3, 0, 0, 0]); // 4 bits a pixel, palette, the only methods there are
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut out, b"IHDR", &header);
    chunk(&mut out, b"PLTE", palette.as_flattened());
    chunk(&mut out, b"IDAT", &stored(rows));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend(be32(data.len()));
    let start = out.len();
    out.extend(kind);
    out.extend(data);
    let sum = crc32(&out[start..]);
    out.extend(sum.to_be_bytes());
}

/// A zlib stream of stored blocks.
fn stored(data: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 0xffff;
    let mut out = vec![0x78, 0x01];
    let blocks = data.chunks(BLOCK).count();
    for (at, block) in data.chunks(BLOCK).enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(at + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(adler32(data).to_be_bytes());
    out
}

fn be32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()
}

fn adler32(data: &[u8]) -> u32 {
    let (low, high) = data.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    high << 16 | low
}

fn crc32(data: &[u8]) -> u32 {
    let sum = data.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
        )
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_are_those_of_the_specifications() {
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_picture_is_small_and_the_same_each_time() {
        let picture = landscape(904_113);
        assert_eq!(picture, landscape(904_113));
        assert_ne!(picture, landscape(904_114));
        assert!(picture.len() < 300_000, "{}", picture.len());
        assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    }
}
