//! The XOR mask on frames from clients (RFC 6455 §5.3), eight bytes at a time.

/// Applies `mask` to `payload` in place; the first byte meets the first byte of the mask. Twice is a no-op.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let half = u64::from(u32::from_ne_bytes(mask));
    let wide = half << 32 | half;
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The mask for the bytes that follow `consumed` bytes under `mask`.
#[must_use]
pub fn rotate(mut mask: [u8; 4], consumed: usize) -> [u8; 4] {
    mask.rotate_left(consumed % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_and_any_cut_gives_the_naive_result() {
        let mask = [0xa1, 0x02, 0xf3, 0x44];
        for len in 0..70 {
            let plain: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let naive: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            for cut in 0..=len {
                let mut masked = plain.clone();
                let (left, right) = masked.split_at_mut(cut);
                unmask(left, mask);
                unmask(right, rotate(mask, cut));
                assert_eq!(masked, naive, "length {len}, cut {cut}");
            }
        }
    }
}
