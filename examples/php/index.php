<?php
// An ordinary script for PHP's built-in server, that knows nothing of Cutover.

$name = getenv('CUTOVER_RELEASE') ?: 'v0';
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

if ($path === '/slow') {
    usleep((int) ($_GET['ms'] ?? 1000) * 1000);
    $body = "$name slowly\n";
} elseif ($path === '/') {
    $body = "$name pid " . getmypid() . "\n";
} else {
    http_response_code(404);
    $body = "no such page\n";
}
header('Content-Type: text/plain');
header('Content-Length: ' . strlen($body));
echo $body;
