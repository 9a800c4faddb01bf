<?php
// Publishes one message to efir and prints its position. No extension is needed.
// usage: php publish.php BASE_URL CHANNEL TEXT [KEY]
declare(strict_types=1);

const ATTEMPTS = 5;

/** Publishes $data as JSON. The same key goes with every attempt, so a retry never makes a second message. */
function publish(string $baseUrl, string $channel, mixed $data, string $key): array
{
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => ['Content-Type: application/json', "Idempotency-Key: $key", 'Connection: close'],
        'content' => json_encode($data, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES),
        'timeout' => 10,
        'ignore_errors' => true, // a refusal is an answer, too: its body says what was wrong
    ]]);
    $url = rtrim($baseUrl, '/') . '/channels/' . rawurlencode($channel);
    for ($attempt = 1; ; $attempt++) {
        $http_response_header = null; // PHP fills it in when there is an answer
        $answer = @file_get_contents($url, false, $context);
        $status = (int) (explode(' ', $http_response_header[0] ?? '')[1] ?? 0);
        if ($status === 200 && $answer !== false) {
            return json_decode($answer, true, flags: JSON_THROW_ON_ERROR);
        }
        if (!in_array($status, [0, 200, 503], true) || $attempt === ATTEMPTS) {
            throw new RuntimeException("efir refused: status $status $answer");
        }
        usleep(200_000 * 2 ** $attempt);
    }
}

if ($argc < 4) {
    fwrite(STDERR, "usage: php publish.php BASE_URL CHANNEL TEXT [KEY]\n");
    exit(2);
}
try {
    $receipt = publish($argv[1], $argv[2], ['text' => $argv[3]], $argv[4] ?? bin2hex(random_bytes(16)));
    echo $receipt['position'], "\n";
} catch (Exception $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
