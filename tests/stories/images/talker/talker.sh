# One numbered line every half second; the numbers of one run have no gap, so that a lost or doubled line shows.
trap 'exit 0' TERM
echo "begin $VERSION"
n=0
while true; do
    n=$((n + 1))
    echo "tick $n"
    sleep 0.5 &
    wait $!
done
